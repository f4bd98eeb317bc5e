"""From ComfyUI's errors to problems: what a failed generation says, and what to do about it."""

from __future__ import annotations

from typing import Final

from comfy.errors import (
    ExecutionFailedError,
    ExecutionTimeoutError,
    ForeignPromptError,
    HeldBackError,
    InputRefusedError,
    NoOutputError,
    OutOfMemoryComfyError,
    PaidNodesError,
    PromptInterruptedError,
    PromptLostError,
    TransientComfyError,
    UnusableFileError,
    WorkflowRejectedError,
)
from core.problems import MISFIT, Problem, problem
from core.text import readable
from flows.errors import InputGoneError, PaidUnknownError
from store.errors import ArtefactStoreError, UnreadableRequestError

_PLAIN: tuple[tuple[type[Exception], str, str], ...] = (
    (
        ExecutionTimeoutError,
        "timed_out",
        "Use fewer steps or a smaller size, or allow more time with `timeout_s`.",
    ),
    (
        PromptInterruptedError,
        "interrupted",
        "It was stopped in ComfyUI itself. Retry to run it again.",
    ),
    (NoOutputError, "no_output", "Retry; if it happens again, check ComfyUI's log."),
    (
        UnusableFileError,
        "unusable_file",
        "Check what serves ComfyUI's files, such as a custom node or a proxy, then retry.",
    ),
    (
        ForeignPromptError,
        "unsupported_comfyui",
        "Easel needs ComfyUI 0.3.45 or later. Update ComfyUI, then retry.",
    ),
    (
        PromptLostError,
        "prompt_lost",
        "ComfyUI restarted repeatedly while it rendered this. Check its log, then retry.",
    ),
    (
        InputGoneError,
        "upload_expired",
        "Upload the file again, and create the generation again.",
    ),
    (
        PaidUnknownError,
        "paid_unknown",
        (
            "It is not submitted again by itself. Look in your account of the service whether it "
            "was charged; retry to submit it, and maybe to pay, again."
        ),
    ),
    (
        PaidNodesError,
        "paid_nodes",
        "Set it where the worker runs, start the worker again, then retry.",
    ),
    (
        InputRefusedError,
        "input_refused",
        "Use a smaller file, or let ComfyUI take larger ones, then retry.",
    ),
    (
        HeldBackError,
        "not_available",
        "The worker or its store was too slow to send it to ComfyUI. Retry it.",
    ),
    (
        TransientComfyError,
        "comfyui_unreachable",
        "ComfyUI answered with errors for a long time. Check its log, then retry.",
    ),
    (
        ArtefactStoreError,
        "not_available",
        "The image could not be stored. Free disk space, retry.",
    ),
)

_SAID_MAX: Final = 500
_HINT_LINES: Final = 3
_NOT_WHOLE: Final = (
    "The file is not a whole checkpoint: it has no {}. Choose another model, such as the "
    "checkpoint that its maker offers for ComfyUI."
)
_SHAPES: Final = (
    "mat1 and mat2 shapes cannot be multiplied",
    "Sizes of tensors must match",
    "size mismatch for",
)
"""PyTorch's words for parts of different model families: a VAE, a LoRA or a text encoder."""
_KNOWN: Final = (
    ("clip input is invalid", _NOT_WHOLE.format("text encoder")),
    ("VAE is invalid", _NOT_WHOLE.format("VAE")),
    (
        "Could not detect model type",
        "The file is not a checkpoint that ComfyUI knows, or it is incomplete. Choose another.",
    ),
    (
        "Unauthorized: Please login first",
        (
            "The paid service wants a key: set EASEL_COMFY__PAID_KEY or EASEL_COMFY__PAID_KEY_FILE "
            "where the worker runs."
        ),
    ),
)
"""Words in a node's message, and what the requester can do."""


def problem_of(error: BaseException) -> Problem:
    """Returns the problem that a failed attempt ends with. Unknown errors become ``run_failed``."""
    if isinstance(error, WorkflowRejectedError):
        return _rejected(error)
    if isinstance(error, ExecutionFailedError):
        return _node_failed(error)
    if isinstance(error, UnreadableRequestError):
        return problem("unreadable_document", str(error))
    for kind, code, advice in _PLAIN:
        if isinstance(error, kind):
            return problem(code, f"{_sentence(str(error))} {advice}")
    return problem("run_failed", f"{type(error).__name__}: {_first_line(readable(str(error)))}")


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
    node = f"{error.node_class or 'A node'} (node {error.node_id})" if error.node_id else "A node"
    if isinstance(error, OutOfMemoryComfyError):
        code, said = "out_of_memory", _first_line(error.message)
        advice = " Use a smaller size or fewer images at once."
    else:
        code, said = "node_failed", _hint(error.message)
        advice = _advice(error.message)
    return problem(
        code,
        _misfit(said) or f"{node}: {_sentence(said)}{advice}",
        node_id=error.node_id,
        node_class=error.node_class,
        node_message=said,
    )


def _misfit(said: str) -> str | None:
    """Returns what a known error of PyTorch means to users; None for any other."""
    if not any(words in said for words in _SHAPES):
        return None
    return (
        f"{MISFIT} (ComfyUI: {said.rstrip('.')}). Choose another model: this one may be of a "
        "family that the workflow does not support."
    )


def _advice(message: str) -> str:
    """Returns what to do about a node's error that users meet, in Easel's words."""
    return next((f" {advice}" for words, advice in _KNOWN if words in message), "")


def _hint(message: str) -> str:
    """Returns a node's message as one line: ComfyUI explains some errors in the lines after."""
    lines = [line.strip() for line in message.partition("Traceback")[0].splitlines()]
    sentences = [line for line in lines if line][:_HINT_LINES]
    ended = [_sentence(line) for line in sentences[:-1]] + sentences[-1:]
    return " ".join(ended)[:_SAID_MAX]


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:_SAID_MAX] if lines else ""


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
