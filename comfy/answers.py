"""ComfyUI's HTTP answers as frozen values. Their texts are readable already (``core.text``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from comfy.messages import ExecutionError, Output, OutputFile, execution_error, outputs_of
from comfy.paths import without_folders
from core.problems import FieldProblem
from core.text import readable, readable_json

_PROBLEMS_MAX: Final = 50
_SENTENCE_MAX: Final = 1_000
_NODES_MAX: Final = 1_000
"""The most nodes whose outputs are read."""
_NODE_ID_MAX: Final = 255


@dataclass(frozen=True)
class QueueItem:
    """One prompt in the queue. ``client_id`` names the websocket that gets its messages."""

    number: float
    prompt_id: str
    client_id: str | None


@dataclass(frozen=True)
class QueueState:
    """ComfyUI's queue: what executes (one at most) and what waits, in order of execution."""

    running: tuple[QueueItem, ...]
    pending: tuple[QueueItem, ...]

    def find(self, prompt_id: str) -> QueueItem | None:
        """Returns the prompt, running or waiting, or None."""
        items = (*self.running, *self.pending)
        return next((item for item in items if item.prompt_id == prompt_id), None)

    def is_running(self, prompt_id: str) -> bool:
        """Whether this prompt executes now."""
        return any(item.prompt_id == prompt_id for item in self.running)

    def position(self, prompt_id: str) -> int | None:
        """Returns how many prompts come before this waiting one, including the running one."""
        ahead = self.ahead(prompt_id)
        return None if ahead is None else len(ahead)

    def ahead(self, prompt_id: str) -> tuple[str, ...] | None:
        """Returns the prompts that come before this waiting one; None when it does not wait."""
        ids = [item.prompt_id for item in (*self.running, *self.pending)]
        if prompt_id not in (item.prompt_id for item in self.pending):
            return None
        return tuple(ids[: ids.index(prompt_id)])


@dataclass(frozen=True)
class HistoryEntry:
    """How a prompt ended. ``error`` and ``interrupted`` are the two kinds of failure."""

    prompt_id: str
    outputs: tuple[Output, ...]
    succeeded: bool
    interrupted: bool
    error: ExecutionError | None

    @property
    def files(self) -> tuple[OutputFile, ...]:
        """The files among its outputs."""
        return tuple(each for each in self.outputs if isinstance(each, OutputFile))


@dataclass(frozen=True)
class Submission:
    """ComfyUI's answer to an accepted prompt.

    ``problems`` are outputs that ComfyUI dropped: it accepts a workflow if a single output
    validates, and reports the others only here.
    """

    prompt_id: str
    number: float
    problems: tuple[FieldProblem, ...]


@dataclass(frozen=True)
class Device:
    """One compute device; memory in bytes."""

    name: str
    type: str
    vram_total: int
    vram_free: int


@dataclass(frozen=True)
class SystemStats:
    """ComfyUI's system information. ``is_emulator``: it is Easel's own emulator."""

    version: str
    is_emulator: bool
    devices: tuple[Device, ...]


def queue_state(body: Mapping[str, Any]) -> QueueState:
    """Read ``GET /queue``. Waiting prompts come in heap order and are sorted as ComfyUI pops."""
    pending = [_queue_item(item) for item in body["queue_pending"]]
    pending.sort(key=lambda item: (item.number, item.prompt_id))
    return QueueState(tuple(map(_queue_item, body["queue_running"])), tuple(pending))


def _queue_item(item: list[Any]) -> QueueItem:
    extra = item[3] if len(item) > 3 and isinstance(item[3], dict) else {}
    client_id = extra.get("client_id")
    return QueueItem(
        float(item[0]), str(item[1]), client_id if isinstance(client_id, str) else None
    )


def history_entry(prompt_id: str, entry: Mapping[str, Any]) -> HistoryEntry:
    """Read one entry of ``GET /history/{id}``.

    An interrupted prompt has the status "error", too; only its messages differ. The entry is as
    ComfyUI sent it: the texts of outputs may be longer than those of messages.
    """
    status = readable_json(entry.get("status") or {})
    messages = dict(status.get("messages") or [])
    interrupted = "execution_interrupted" in messages
    error = messages.get("execution_error")
    outputs = entry.get("outputs") or {}
    return HistoryEntry(
        prompt_id=prompt_id,
        outputs=tuple(
            given
            for node, output in islice(outputs.items(), _NODES_MAX)
            for given in outputs_of(readable(str(node), _NODE_ID_MAX), output)
        ),
        succeeded=status.get("status_str", "success") == "success",
        interrupted=interrupted,
        error=execution_error(error) if error is not None and not interrupted else None,
    )


def submission(body: Mapping[str, Any]) -> Submission:
    """Read the 200 of ``POST /prompt``."""
    return Submission(
        str(body["prompt_id"]), float(body["number"]), node_problems(body.get("node_errors"))
    )


def rejection(body: Mapping[str, Any]) -> tuple[str, tuple[FieldProblem, ...]]:
    """Read the 400 of ``POST /prompt``: ComfyUI's sentence and its problems.

    ``error.details`` is often empty; ``node_errors`` say more where there are any.
    """
    error = body["error"]
    detail = _sentence(str(error["message"]), str(error.get("details") or ""))
    problems = node_problems(body.get("node_errors"))
    return detail, problems or (_graph_problem(error, detail),)


def _graph_problem(error: Mapping[str, Any], detail: str) -> FieldProblem:
    extra = error.get("extra_info") or {}
    return FieldProblem.of_node(
        node_id=str(extra.get("node_id") or ""),
        class_type=str(extra.get("class_type") or ""),
        input_name="",
        code=str(error.get("type", "")),
        message=detail,
    )


def node_problems(node_errors: object) -> tuple[FieldProblem, ...]:
    """Read ``node_errors``: each error of each node, in ComfyUI's words."""
    if not isinstance(node_errors, Mapping):
        return ()
    found = (
        _node_problem(str(node_id), node, error)
        for node_id, node in node_errors.items()
        for error in node["errors"]
    )
    return tuple(islice(found, _PROBLEMS_MAX))


def _node_problem(node_id: str, node: Mapping[str, Any], error: Mapping[str, Any]) -> FieldProblem:
    extra = error.get("extra_info") or {}
    return FieldProblem.of_node(
        node_id=node_id,
        class_type=str(node.get("class_type", "")),
        input_name=str(extra.get("input_name") or ""),
        code=str(error["type"]),
        message=_sentence(str(error["message"]), str(error.get("details") or "")),
    )


def _sentence(message: str, details: str) -> str:
    if not details or details == message:
        said = message
    else:
        said = f"{message} {details}" if message.endswith(".") else f"{message}: {details}"
    return readable(without_folders(said), _SENTENCE_MAX)


def system_stats(body: Mapping[str, Any]) -> SystemStats:
    """Read ``GET /system_stats``. ``argv`` is dropped: it shows server paths."""
    system = body["system"]
    return SystemStats(
        version=str(system.get("comfyui_version", "")),
        is_emulator=system.get("easel_emulator") is True,
        devices=tuple(
            Device(
                str(device.get("name", "")),
                str(device.get("type", "")),
                int(device.get("vram_total") or 0),
                int(device.get("vram_free") or 0),
            )
            for device in body.get("devices") or []
        ),
    )
