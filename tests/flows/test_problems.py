"""Every way in which ComfyUI can fail ends as a known problem with a sentence to act on."""

from __future__ import annotations

import pytest

from comfy import errors
from comfy.errors import ComfyError, ExecutionFailedError, WorkflowRejectedError
from core.problems import KINDS
from flows.problems import problem_of
from store.errors import ImageStoreError
from tests.comfy.failures import ALL, an_example


def test_the_list_is_not_empty() -> None:
    assert errors.OutOfMemoryComfyError in ALL


@pytest.mark.parametrize("kind", ALL)
def test_every_error_of_comfyui_is_a_known_problem(kind: type[ComfyError]) -> None:
    problem = problem_of(an_example(kind))
    assert problem.code in KINDS
    assert problem.code != "run_failed", "an error of ComfyUI must not end as an unknown one"
    assert problem.status == KINDS[problem.code].http_status
    assert problem.detail.endswith((".", "!", "?", "`."))
    assert "\n" not in problem.detail
    assert "Traceback" not in problem.detail


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in ALL
        # What to do about these depends on the node: its own message says it.
        if kind not in (ExecutionFailedError, WorkflowRejectedError)
    ],
)
def test_a_problem_says_what_to_do(kind: type[ComfyError]) -> None:
    detail = problem_of(an_example(kind)).detail
    assert detail.count(". ") >= 1, detail


def test_a_node_is_named() -> None:
    failed = problem_of(an_example(ExecutionFailedError))
    assert (failed.code, failed.node_id, failed.node_class, failed.node_message) == (
        "node_failed", "5", "KSampler", "tensor sizes differ",
    )  # fmt: skip
    rejected = problem_of(an_example(WorkflowRejectedError))
    assert (rejected.code, rejected.node_id, rejected.node_class, rejected.node_message) == (
        "workflow_rejected", "4", "CheckpointLoaderSimple", "gone",
    )  # fmt: skip
    assert "ckpt_name" in rejected.detail


def test_a_rejection_without_a_node() -> None:
    problem = problem_of(WorkflowRejectedError("Prompt has no outputs"))
    assert (problem.code, problem.node_id) == ("workflow_rejected", None)
    assert problem.detail == "Prompt has no outputs."


def test_other_errors() -> None:
    assert problem_of(ImageStoreError("disk full")).code == "not_available"
    unknown = problem_of(ZeroDivisionError("division by zero"))
    assert unknown.code == "run_failed"
    assert "division by zero" in unknown.detail
