"""Everything that can go wrong with ComfyUI, grouped by what the caller does next.

ComfyError
├── TransientComfyError          wait a little, then try the same thing again
│   ├── ComfyUnreachableError    no connection, or it broke
│   │   └── NothingSentError     no connection was made
│   ├── HeldBackError            the caller may not send it any more, perhaps; its body was not sent
│   ├── ComfyTimeoutError        connected, but no answer in time
│   ├── ComfyProtocolError       an invalid answer (malformed, 5xx, truncated)
│   └── ComfyTooOldError         a version that Easel cannot use; wait for a newer one
├── WorkflowRejectedError        never try again: the workflow itself is wrong
├── PaidNodesError               it calls paid services, and the settings do not allow that
├── InputRefusedError            ComfyUI does not take a file that the graph needs
├── ExecutionFailedError         a node failed; the same workflow will likely fail again
│   └── OutOfMemoryComfyError    free ComfyUI's memory, then try once more
├── PromptInterruptedError       it was interrupted in ComfyUI: a human decides
├── PromptLostError              ComfyUI forgot it (a restart): submit it again
├── NoOutputError                it ended well, but the picture is not there
├── UnusableFileError            its file can never be kept: too large, or no picture
├── ForeignPromptError           ComfyUI gave the prompt an id of its own
└── ExecutionTimeoutError        it executed longer than allowed: cancel it

NotImportableError               no generation ends with these
├── WorkflowFileError            a file holds no workflow that can be read
└── DeclarationError             an input of a workflow cannot be declared so
"""

from __future__ import annotations

from collections.abc import Sequence

from core.problems import FieldProblem
from core.wording import listed


class ComfyError(Exception):
    """Base of every error of this package."""


class TransientComfyError(ComfyError):
    """Nothing is known to be wrong with the request itself; the same call may work later."""


class ComfyUnreachableError(TransientComfyError):
    """ComfyUI does not accept connections, or the connection broke.

    After a POST this is ambiguous: ComfyUI may have accepted the request before the break.
    """


class NothingSentError(ComfyUnreachableError):
    """No connection was made: ComfyUI has certainly not heard the request."""


class HeldBackError(TransientComfyError):
    """The caller was not sure any more that it may send it: ComfyUI has its headers at most."""


class ComfyTimeoutError(TransientComfyError):
    """ComfyUI did not answer in time. After a POST this is ambiguous."""


class ComfyProtocolError(TransientComfyError):
    """ComfyUI (or something in between) gave an invalid answer."""


class ComfyTooOldError(TransientComfyError):
    """ComfyUI is older than Easel needs: nothing may be posted to it. Update it."""


class WorkflowRejectedError(ComfyError):
    """ComfyUI's validation refused the workflow, or would have dropped one of its outputs.

    ``problems`` are what it found wrong with nodes (``FieldProblem.of_node``); their codes are
    ComfyUI's error types, for example ``value_not_in_list``.
    """

    def __init__(self, detail: str, problems: tuple[FieldProblem, ...] = ()) -> None:
        super().__init__(detail, problems)
        self.detail = detail
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join([str(problem) for problem in self.problems] or [self.detail])


class PaidNodesError(ComfyError):
    """The graph calls paid services, by nodes of these ``classes``, which is not allowed here."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__(classes)
        self.classes = classes

    def __str__(self) -> str:
        return not_allowed(self.classes)


def not_allowed(classes: Sequence[str]) -> str:
    """Returns why a graph with these paid node classes is refused, and what allows it."""
    return f"it calls paid services, by {listed(classes)}; EASEL_COMFY__PAID_NODES=true allows that"


class InputRefusedError(ComfyError):
    """ComfyUI does not take a file that the graph needs, and would not the next time either."""


class ExecutionFailedError(ComfyError):
    """A node raised while the prompt executed. ``message`` is the node's own."""

    def __init__(self, node_id: str, node_class: str, message: str, exception_type: str) -> None:
        super().__init__(node_id, node_class, message, exception_type)
        self.node_id = node_id
        self.node_class = node_class
        self.message = message
        self.exception_type = exception_type

    def __str__(self) -> str:
        return f"{self.node_class or 'node'} (node {self.node_id}): {self.message}"


class OutOfMemoryComfyError(ExecutionFailedError):
    """A node ran out of memory (GPU or CPU)."""


class PromptInterruptedError(ComfyError):
    """The prompt was interrupted in ComfyUI."""


class PromptLostError(ComfyError):
    """The prompt is neither in the queue, nor in the history, nor are its files there.

    ComfyUI keeps queue and history in memory only, so a restart forgets both.
    """


class NoOutputError(ComfyError):
    """ComfyUI says success (or named a file), but the picture is not there."""


class UnusableFileError(ComfyError):
    """What ComfyUI serves as the picture is none that may be kept, and the next try is no better.

    It is larger than what was asked for, compressed, a redirect, or of another kind of file.
    """


class ForeignPromptError(ComfyError):
    """ComfyUI accepted the prompt under another id, so it could not be found again.

    Versions before 0.3.45 ignore the id. The prompt was taken back.
    """


class NotImportableError(Exception):
    """Base of what is wrong with a workflow that is being imported or declared."""


class WorkflowFileError(NotImportableError):
    """A file cannot be imported: it holds no workflow, a malformed one, or one beyond the bounds.

    ``code`` is "no_workflow", "malformed", "too_large", "too_deep", "too_many_nodes", "cycle" or
    "no_output" (nothing in it can be saved); ``place`` is where in the file ("node 12:5"), empty
    for the whole file.
    """

    def __init__(self, code: str, message: str, place: str = "") -> None:
        super().__init__(code, message, place)
        self.code = code
        self.message = message
        self.place = place

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class DeclarationError(NotImportableError):
    """An input cannot be declared so.

    ``code`` is "unknown_node", "unknown_field", "linked_field", "unknown_input",
    "unknown_output", "duplicate_input" or "invalid_name".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class ExecutionTimeoutError(ComfyError):
    """The prompt executed longer than its limit. It may still be executing: cancel it."""


def is_transient(exc: BaseException) -> bool:
    """Whether the same call, made again a little later, may succeed."""
    return isinstance(exc, TransientComfyError)
