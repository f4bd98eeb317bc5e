"""The faults that an emulator can be made to have."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

OUT_OF_MEMORY = (
    "Allocation on device 0 would exceed allowed memory. (out of memory)\n"
    "Currently allocated     : 21.52 GiB\nRequested               : 4.50 GiB\n"
    "Device limit            : 23.64 GiB\nFree (according to CUDA): 14.31 MiB\n"
    "PyTorch limit (set by user-supplied memory fraction)\n"
    "                        : 17179869184.00 GiB"
)
"""PyTorch's message."""
OUT_OF_MEMORY_TIPS = (
    "This error means you ran out of memory on your GPU.\n\n"
    "TIPS: If the workflow worked before you might have accidentally set the batch_size "
    "to a large number."
)
"""What ComfyUI adds."""
OUT_OF_MEMORY_TYPE = "torch.OutOfMemoryError"


@dataclass
class Rule:
    """A fault for the next `times` occasions."""

    times: int = 1


@dataclass
class Answer(Rule):
    """How to answer the next requests of a method and path."""

    method: str = "*"
    path: str = "*"
    status: int | None = None
    body: str | None = None
    content_type: str = "text/plain"
    delay: float = 0.0
    truncate: int | None = None

    def matches(self, method: str, path: str) -> bool:
        """Whether this rule applies to that request (path without the /api prefix)."""
        return self.method in ("*", method) and self.path in ("*", path)


@dataclass
class DropReply(Rule):
    """Cut the connection of the next POST /prompt, after or before accepting it."""

    accepted: bool = True


@dataclass
class NodeError(Rule):
    """Raise inside the next run of a node class."""

    class_type: str = "KSampler"
    exception_type: str = "RuntimeError"
    message: str = "emulated error"


@dataclass
class Hang(Rule):
    """Stop in sampler step `step` (1 = the first)."""

    step: int = 1
    seconds: float | None = None
    interruptible: bool = True


@dataclass
class TruncateView(Rule):
    """Send the first `size` bytes of a file and cut the connection."""

    size: int = 100


AnyRule = TypeVar("AnyRule", bound=Rule)


def _nothing(*_: Any) -> int:
    return 0


@dataclass
class Hooks:
    """How faults reach into the running server; set by `Emulator`."""

    drop_sockets: Callable[[], int] = _nothing
    stall_sockets: Callable[[str | None], int] = _nothing
    resume_sockets: Callable[[], Any] = _nothing
    forget: Callable[[str], Any] = _nothing


@dataclass
class _Marks:
    """Faults that last until they are cleared."""

    zombie: bool = False
    ignores_prompt_ids: bool = False
    refuse_sockets_until: float = 0.0
    drop_sockets_after: int | None = None
    epoch: int = 0
    hooks: Hooks = field(default_factory=Hooks)


class Faults:
    """The script of faults. Every method may be called from any thread but the
    four that touch sockets or history, which belong to the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self.hanging = False
        """Whether a sampler run hangs now; set by the sampler."""
        self._marks = _Marks()

    # ---- scripting -------------------------------------------------------

    def drop_sockets(self) -> int:
        """Cut all websockets now (clients see 1006). Returns how many there were."""
        return self._marks.hooks.drop_sockets()

    def drop_sockets_after(self, messages: int) -> None:
        """Cut all websockets once, after that many further `progress` messages."""
        self._marks.drop_sockets_after = messages

    def refuse_sockets(self, seconds: float) -> None:
        """Answer new websocket handshakes with 503 for so many seconds."""
        self._marks.refuse_sockets_until = time.monotonic() + seconds

    def stall_sockets(self, client_id: str | None = None) -> int:
        """The open sockets (of one client, or all) stay open and get nothing until `clear`."""
        return self._marks.hooks.stall_sockets(client_id)

    def drop_replies(self, times: int = 1, *, accepted: bool = True) -> None:
        """Cut the next POST /prompt connections without an answer: after the prompt
        was queued, or (`accepted=False`) before it was read."""
        self._add(DropReply(times, accepted))

    def answer(
        self,
        method: str = "*",
        path: str = "*",
        *,
        times: int = 1,
        status: int | None = None,
        body: str | None = None,
        content_type: str = "text/plain",
        delay: float = 0.0,
        truncate: int | None = None,
    ) -> None:
        """Answer the next matching requests differently.

        With `status`, the request never reaches ComfyUI's code and `body` is sent;
        `delay` waits so many seconds first; `truncate` sends the first so many bytes of
        the body under the full Content-Length and cuts the connection.
        """
        self._add(Answer(times, method, path, status, body, content_type, delay, truncate))

    def fail_node(
        self,
        class_type: str,
        exception_type: str = "RuntimeError",
        message: str = "emulated error",
        times: int = 1,
    ) -> None:
        """The next runs of a node class raise."""
        self._add(NodeError(times, class_type, exception_type, message))

    def out_of_memory(self, times: int = 1) -> None:
        """The next KSampler runs end in torch.OutOfMemoryError."""
        self._add(NodeError(times, "KSampler", OUT_OF_MEMORY_TYPE, OUT_OF_MEMORY))

    def hang(
        self,
        step: int = 1,
        *,
        seconds: float | None = None,
        interruptible: bool = True,
        times: int = 1,
    ) -> None:
        """The next sampler runs stop before step `step` is done: for so many seconds,
        or until `release`, `clear`, an interrupt (if `interruptible`) or a restart."""
        self._add(Hang(times, step, seconds, interruptible))

    def release(self) -> None:
        """Let hanging sampler runs continue."""
        with self._lock:
            self._marks.epoch += 1

    def zombie(self) -> None:
        """The next prompt stays "running" forever, all later ones pending, until `clear` or
        a restart. The real server does this when its worker thread has died."""
        self._marks.zombie = True

    def ignore_prompt_ids(self) -> None:
        """Give prompts ids of one's own from now on, as ComfyUI before 0.3.45 does."""
        self._marks.ignores_prompt_ids = True

    def empty_outputs(self, times: int = 1) -> None:
        """The next prompts succeed with no outputs, as after a silently blocked branch."""
        self._add(_EmptyOutputs(times))

    def forget(self, prompt_id: str) -> None:
        """Drop the history of a prompt."""
        self._marks.hooks.forget(prompt_id)

    def truncate_views(self, size: int = 100, times: int = 1) -> None:
        """The next GET /view send `size` bytes under the full Content-Length, then cut."""
        self._add(TruncateView(times, size))

    def clear(self) -> None:
        """Undo everything above that is pending or lasting."""
        with self._lock:
            self._rules.clear()
            self._marks = _Marks(epoch=self._marks.epoch + 1, hooks=self._marks.hooks)
        self._marks.hooks.resume_sockets()

    def active(self) -> list[dict[str, Any]]:
        """Returns the pending faults as JSON."""
        with self._lock:
            rules = [{"fault": type(rule).__name__, **asdict(rule)} for rule in self._rules]
        if self._marks.zombie:
            rules.append({"fault": "Zombie"})
        return rules

    # ---- asked by the emulator -------------------------------------------

    def bind(self, hooks: Hooks) -> None:
        """Act on this server from now on. A zombie does not outlive a restart."""
        self._marks.hooks = hooks
        self._marks.zombie = False

    def answer_for(self, method: str, path: str) -> Answer | None:
        """Returns the rule for this request and uses it up by one."""
        return self._next(Answer, lambda rule: rule.matches(method, path))

    def reply_drop(self) -> DropReply | None:
        """Returns the rule for this POST /prompt and uses it up by one."""
        return self._next(DropReply)

    def node_error(self, class_type: str) -> NodeError | None:
        """Returns the rule for this node run and uses it up by one."""
        return self._next(NodeError, lambda rule: rule.class_type == class_type)

    def hang_for(self) -> Hang | None:
        """Returns the rule for this sampler run and uses it up by one."""
        return self._next(Hang)

    def view_cut(self) -> TruncateView | None:
        """Returns the rule for this GET /view and uses it up by one."""
        return self._next(TruncateView)

    def hides_outputs(self) -> bool:
        """Whether this prompt is to end without outputs; used up by one."""
        return self._next(_EmptyOutputs) is not None

    def refuses_sockets(self) -> bool:
        """Whether a new websocket is refused now."""
        return time.monotonic() < self._marks.refuse_sockets_until

    def count_progress(self) -> bool:
        """Count one `progress` message; True if the sockets are to be cut now."""
        left = self._marks.drop_sockets_after
        if left is None:
            return False
        self._marks.drop_sockets_after = None if left <= 1 else left - 1
        return left <= 1

    @property
    def is_zombie(self) -> bool:
        """Whether the worker accepts and never executes."""
        return self._marks.zombie

    @property
    def ignores_prompt_ids(self) -> bool:
        """Whether the id that a client gives a prompt is ignored."""
        return self._marks.ignores_prompt_ids

    @property
    def epoch(self) -> int:
        """Grows with every `release` and `clear`; a hang lasts while it stays."""
        return self._marks.epoch

    def _add(self, rule: Rule) -> None:
        if rule.times < 1:
            raise ValueError("times must be at least 1")
        with self._lock:
            self._rules.append(rule)

    def _next(
        self, kind: type[AnyRule], fits: Callable[[AnyRule], bool] = lambda _: True
    ) -> AnyRule | None:
        with self._lock:
            for rule in self._rules:
                if isinstance(rule, kind) and fits(rule):
                    rule.times -= 1
                    if rule.times <= 0:
                        self._rules.remove(rule)
                    return rule
        return None


@dataclass
class _EmptyOutputs(Rule):
    """See `Faults.empty_outputs`."""
