"""Every way in which ComfyUI can fail ends as a known problem with a sentence to act on."""

from __future__ import annotations

import pytest

from comfy import errors
from comfy.errors import ComfyError, ExecutionFailedError, WorkflowRejectedError
from core.problems import KINDS, MISFIT
from flows.problems import problem_of
from store.errors import ArtefactStoreError
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
    assert problem_of(ArtefactStoreError("disk full")).code == "not_available"
    unknown = problem_of(ZeroDivisionError("division by zero"))
    assert unknown.code == "run_failed"
    assert "division by zero" in unknown.detail


@pytest.mark.parametrize(
    ("message", "shown", "advice"),
    [
        (
            "ERROR: clip input is invalid: None\n\nIf the clip is from a checkpoint loader node",
            "ERROR: clip input is invalid: None. If the clip is from a checkpoint loader node",
            "it has no text encoder",
        ),
        (
            "ERROR: VAE is invalid: None\n\nIf the VAE is from a checkpoint loader node",
            "ERROR: VAE is invalid: None. If the VAE is from a checkpoint loader node",
            "it has no VAE",
        ),
        (
            "ERROR: Could not detect model type of: x.safetensors",
            "ERROR: Could not detect model type of: x.safetensors",
            "Choose another",
        ),
    ],
)
def test_comfyui_s_own_hint_is_kept_and_said_in_our_words_too(
    message: str, shown: str, advice: str
) -> None:
    found = problem_of(ExecutionFailedError("2", "CLIPTextEncode", message, "RuntimeError"))
    assert found.node_message == shown
    assert shown in found.detail
    assert advice in found.detail


@pytest.mark.parametrize(
    "message",
    [
        "mat1 and mat2 shapes cannot be multiplied (154x2048 and 768x320)",
        "Sizes of tensors must match except in dimension 1.",
    ],
)
def test_a_model_that_does_not_fit_is_said_in_the_user_s_words(message: str) -> None:
    found = problem_of(ExecutionFailedError("5", "KSampler", message, "RuntimeError"))
    assert found.detail.startswith(f"{MISFIT} (ComfyUI: {message.rstrip('.')}). ")
    assert (found.code, found.node_class, found.node_message) == (
        "node_failed",
        "KSampler",
        message,
    )


def test_the_numbers_of_an_allocator_are_no_hint() -> None:
    found = problem_of(
        errors.OutOfMemoryComfyError("5", "KSampler", "no memory\nDevice limit: 23 GiB", "")
    )
    assert found.node_message == "no memory"


def test_a_hint_has_an_end() -> None:
    found = problem_of(ExecutionFailedError("5", "KSampler", "line\n" * 1000, ""))
    assert found.node_message == "line. line. line"
    found = problem_of(ExecutionFailedError("5", "KSampler", "x" * 1_000_000, ""))
    assert len(found.detail) < 600
