"""From ComfyUI's errors to problems: what a failed generation says, and what to do about it."""

from __future__ import annotations

from comfy.errors import (
    ExecutionFailedError,
    ExecutionTimeoutError,
    NoOutputError,
    OutOfMemoryComfyError,
    PromptInterruptedError,
    PromptLostError,
    TransientComfyError,
    WorkflowRejectedError,
)
from core.problems import Problem, problem
from store.errors import ImageStoreError

_PLAIN: tuple[tuple[type[Exception], str, str], ...] = (
    (
        ExecutionTimeoutError,
        "timed_out",
        "Ask for fewer steps or a smaller size, or allow more time with `timeout_s`.",
    ),
    (
        PromptInterruptedError,
        "interrupted",
        "Somebody pressed Interrupt in ComfyUI itself. Retry when you like.",
    ),
    (NoOutputError, "no_output", "Retry; if it stays so, look at ComfyUI's own log."),
    (
        PromptLostError,
        "prompt_lost",
        "ComfyUI restarted again and again while it rendered this. Look at its log, then retry.",
    ),
    (
        TransientComfyError,
        "comfyui_unreachable",
        "ComfyUI answered with errors for a long time. Look at its log, then retry.",
    ),
    (ImageStoreError, "not_available", "The picture could not be kept. Free disk space, retry."),
)


def problem_of(error: BaseException) -> Problem:
    """Returns the problem that a failed attempt ends with. Unknown errors become ``run_failed``."""
    if isinstance(error, WorkflowRejectedError):
        return _rejected(error)
    if isinstance(error, ExecutionFailedError):
        return _node_failed(error)
    for kind, code, advice in _PLAIN:
        if isinstance(error, kind):
            return problem(code, f"{_sentence(str(error))} {advice}")
    return problem("run_failed", f"{type(error).__name__}: {_first_line(error)}")


def _rejected(error: WorkflowRejectedError) -> Problem:
    if not error.problems:
        return problem("workflow_rejected", _sentence(str(error)))
    first = error.problems[0]
    _, node_id, node_class, _ = first.loc
    return problem(
        "workflow_rejected",
        _sentence(str(error)),
        node_id=node_id,
        node_class=node_class,
        node_message=first.message,
    )


def _node_failed(error: ExecutionFailedError) -> Problem:
    out_of_memory = isinstance(error, OutOfMemoryComfyError)
    advice = " Ask for a smaller size or fewer images at once." if out_of_memory else ""
    return problem(
        "out_of_memory" if out_of_memory else "node_failed",
        f"{error.node_class} (node {error.node_id}): {_sentence(_first_line(error.message))}"
        + advice,
        node_id=error.node_id,
        node_class=error.node_class,
        node_message=_first_line(error.message),
    )


def _first_line(text: object) -> str:
    lines = str(text).strip().splitlines()
    return lines[0][:500] if lines else ""


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
