"""The tree of errors, and the words people read."""

from __future__ import annotations

import inspect
import pickle

import pytest

from comfy import UnresolvableError, errors
from comfy.answers import history_entry, rejection, submission
from comfy.errors import (
    ComfyError,
    ComfyProtocolError,
    ComfyTimeoutError,
    ComfyUnreachableError,
    OutOfMemoryComfyError,
    WorkflowRejectedError,
    is_transient,
)
from comfy.messages import ExecutionError
from comfy.tracking import execution_failed
from core.problems import FieldProblem
from tests.comfy.data import recorded_json

ALL = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, BaseException)
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_is_of_a_drawn_tree(kind: type[BaseException]) -> None:
    assert issubclass(kind, ComfyError | errors.NotImportableError)
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.__name__ == "ComfyError" or kind.__doc__ != ComfyError.__doc__


def test_what_cannot_be_imported_ends_no_generation() -> None:
    apart = {
        errors.NotImportableError,
        errors.WorkflowFileError,
        errors.DeclarationError,
    }
    assert {kind for kind in ALL if not issubclass(kind, ComfyError)} == apart


def test_only_transient_errors_are_transient() -> None:
    transient = {
        errors.TransientComfyError,
        ComfyUnreachableError,
        ComfyTimeoutError,
        ComfyProtocolError,
        errors.ComfyTooOldError,
        errors.NothingSentError,
        errors.HeldBackError,
    }
    assert {kind for kind in ALL if issubclass(kind, errors.TransientComfyError)} == transient
    assert is_transient(ComfyTimeoutError("late"))
    assert not is_transient(WorkflowRejectedError("no"))
    assert not is_transient(TimeoutError())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            "bad_enum_long_list_sampler",
            (
                "KSampler (node 3), input sampler_name: "
                "Value not in list: sampler_name: 'nope' not in (list of length 44)"
            ),
        ),
        (
            "missing_required_input",
            "EmptyImage (node 1), input width: Required input is missing: width",
        ),
        (
            "unknown_class_type",
            (
                "NoSuchNode (node 1): Node 'NoSuchNode' not found. "
                "The custom node may not be installed. Node ID '#1'"
            ),
        ),
        ("no_output_nodes", "Prompt has no outputs"),
    ],
)
def test_rejections_read_well(answer: str, words: str) -> None:
    body = recorded_json("prompt_answers")[answer]
    assert str(WorkflowRejectedError(*rejection(body))) == words


def test_errors_survive_pickling() -> None:
    # They travel between processes as states of flow runs.
    problem = FieldProblem.of_node("3", "KSampler", "steps", "value_smaller_than_min", "too small")
    for error in (
        WorkflowRejectedError("no", (problem,)),
        OutOfMemoryComfyError("3", "KSampler", "out of memory", "MemoryError"),
        UnresolvableError((FieldProblem(("model",), "no_model", "name a model"),)),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_a_dropped_output_is_noticed_though_the_answer_is_200() -> None:
    body = recorded_json("prompt_answers")["one_good_output_one_bad_output_ACCEPTED"]
    (problem,) = submission(body).problems
    assert problem == FieldProblem.of_node(
        "5", "SaveImage", "images", "required_input_missing", "Required input is missing: images"
    )


def test_a_recorded_cpu_allocator_error_counts_as_out_of_memory() -> None:
    ((prompt_id, body),) = recorded_json("history_out_of_memory").items()
    error = history_entry(prompt_id, body).error
    assert error is not None
    failure = execution_failed(error)
    assert isinstance(failure, OutOfMemoryComfyError)
    assert str(failure).startswith("EmptyImage (node 1): ")


@pytest.mark.parametrize(
    ("exception_type", "message", "is_memory"),
    [
        ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory.", True),
        ("torch.cuda.OutOfMemoryError", "CUDA error", True),
        ("MemoryError", "", True),
        ("RuntimeError", "MPS backend out of memory", True),
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_memory_errors_by_type_or_words(
    exception_type: str, message: str, *, is_memory: bool
) -> None:
    failure = execution_failed(ExecutionError("p", "3", "KSampler", message, exception_type))
    assert isinstance(failure, OutOfMemoryComfyError) is is_memory
