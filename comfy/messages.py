"""ComfyUI's websocket messages as frozen values.

No frame may crash the reader: unknown ones become ``Unknown``, malformed ones None.
Formats as ComfyUI 0.3.64 and 0.24 send them. ``prompt_id`` is None where ComfyUI leaves it out
(the snapshot it sends to a reconnecting client, and previews of the old kind).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeGuard

from comfy.paths import without_folders
from core.text import is_readable, readable, readable_json

PREVIEW_BYTES_MAX: Final = 2 * 1024 * 1024
"""A preview of 512 pixels has 40 kB. Larger frames are whole pictures of a stranger's prompt."""
PREVIEW_TYPES: Final = ("image/jpeg", "image/png", "image/webp")
"""The media types of previews: browsers show these and execute none of them."""


OUTPUTS_MAX: Final = 1_000
"""The most outputs of one node that are read."""
OUTPUT_TEXT_MAX: Final = 1_000_000
"""The most characters that are kept of a text that a node gives."""
_NAME_MAX: Final = 255


@dataclass(frozen=True)
class OutputFile:
    """One file that ComfyUI wrote; ``type`` is "output" (kept) or "temp".

    ``node`` is the node that reported it, which need not be in the graph that was submitted;
    ``key`` is where in its output, ``format`` the media type that it states. None of these identify
    it.
    """

    filename: str
    subfolder: str
    type: str
    node: str = field(default="", compare=False)
    key: str = field(default="images", compare=False)
    format: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class OutputText:
    """A text that a node gave in place of a file."""

    text: str
    node: str = ""


Output = OutputFile | OutputText
"""What a node gave."""


@dataclass(frozen=True)
class Status:
    """The length of the queue, running prompt included. Every client gets it on each change."""

    queue_remaining: int


@dataclass(frozen=True)
class ExecutionStart:
    """The prompt left the queue and executes."""

    prompt_id: str


@dataclass(frozen=True)
class ExecutionCached:
    """These nodes are not executed: their results are still in ComfyUI's cache."""

    prompt_id: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Executing:
    """A node begins. ``node`` None with a prompt id is the end of that prompt, however it ended."""

    prompt_id: str | None
    node: str | None


@dataclass(frozen=True)
class NodeProgress:
    """How far one node is: ``value`` of ``max``."""

    value: float
    max: float
    finished: bool


@dataclass(frozen=True)
class ProgressState:
    """The progress of each node begun so far; nodes served from the cache are absent."""

    prompt_id: str
    nodes: Mapping[str, NodeProgress]


@dataclass(frozen=True)
class StepProgress:
    """One step of a node, ``value`` from 1 to ``max``."""

    prompt_id: str | None
    node: str | None
    value: float
    max: float


@dataclass(frozen=True)
class Executed:
    """An output node ended and wrote these files."""

    prompt_id: str
    node: str
    files: tuple[OutputFile, ...]


@dataclass(frozen=True)
class ExecutionSuccess:
    """The prompt succeeded. The history is written up to some milliseconds later."""

    prompt_id: str


@dataclass(frozen=True)
class ExecutionError:
    """A node raised. ``exception_type`` "ExecutionBlocked" is not an end: success follows."""

    prompt_id: str
    node_id: str
    node_class: str
    message: str
    exception_type: str

    @property
    def is_terminal(self) -> bool:
        """Whether it ends the prompt."""
        return self.exception_type != "ExecutionBlocked"


@dataclass(frozen=True)
class ExecutionInterrupted:
    """The prompt was interrupted."""

    prompt_id: str
    node_id: str


@dataclass(frozen=True)
class PreviewFrame:
    """A picture of the work so far (first image of a batch only)."""

    prompt_id: str | None
    node: str | None
    data: bytes
    content_type: str


@dataclass(frozen=True)
class Unknown:
    """A message of a type that is not handled."""

    type: str


Message = (
    Status
    | ExecutionStart
    | ExecutionCached
    | Executing
    | ProgressState
    | StepProgress
    | Executed
    | ExecutionSuccess
    | ExecutionError
    | ExecutionInterrupted
    | PreviewFrame
    | Unknown
)

_PREVIEW: Final = 1
_PREVIEW_WITH_METADATA: Final = 4
_LEGACY_TYPES: Final = {1: "image/jpeg", 2: "image/png"}
_WORD: Final = struct.Struct(">I")
_GARBLED: Final = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    struct.error,
)


def parse(frame: str | bytes) -> Message | None:
    """Returns the message in one frame, text or binary; None for a malformed one.

    Its texts are readable (``core.text``), whatever ComfyUI or a custom node wrote.
    """
    try:
        return _parse_text(frame) if isinstance(frame, str) else _parse_binary(frame)
    except _GARBLED:
        return None


def outputs_of(node: str, output: object) -> tuple[Output, ...]:
    """Returns what one node gave: the files under any key, and the texts under ``text``.

    Nodes of ComfyUI and of others use many keys, and put much else beside their files: what has no
    ``filename`` is ignored, and so are files of the folder for inputs.
    """
    if not isinstance(output, Mapping):
        return ()
    found = (
        given
        for key, values in output.items()
        if isinstance(values, list)
        for value in values
        if (given := _output(node, str(key), value)) is not None
    )
    return tuple(islice(found, OUTPUTS_MAX))


def files_of(node: str, output: object) -> tuple[OutputFile, ...]:
    """Returns the files among what one node gave."""
    return tuple(each for each in outputs_of(node, output) if isinstance(each, OutputFile))


def _output(node: str, key: str, value: object) -> Output | None:
    if key == "text" and isinstance(value, str):
        text = readable(value, OUTPUT_TEXT_MAX)
        return OutputText(text, node) if text.strip() else None
    if not isinstance(value, Mapping):
        return None
    filename, folder = value.get("filename"), value.get("subfolder") or ""
    kind, said = value.get("type") or "output", value.get("format")
    if not _is_name(filename) or not _is_folder(folder) or kind not in ("output", "temp"):
        return None
    return OutputFile(filename, folder, kind, node, key, said if isinstance(said, str) else None)


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value != "" and is_readable(value, _NAME_MAX)


def _is_folder(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and is_readable(value)


def execution_error(data: Mapping[str, Any]) -> ExecutionError:
    """Read the data of an ``execution_error``, on the websocket or in the history."""
    return ExecutionError(
        prompt_id=str(data.get("prompt_id", "")),
        node_id=str(data.get("node_id", "")),
        node_class=str(data.get("node_type", "")),
        message=without_folders(str(data.get("exception_message", "")).strip()),
        exception_type=str(data.get("exception_type", "")),
    )


def _parse_text(text: str) -> Message:
    message = readable_json(json.loads(text))
    kind, data = message["type"], message.get("data") or {}
    parser = _PARSERS.get(kind)
    return parser(data) if parser else Unknown(str(kind))


def _status(data: dict[str, Any]) -> Status:
    return Status(int(data["status"]["exec_info"]["queue_remaining"]))


def _execution_start(data: dict[str, Any]) -> ExecutionStart:
    return ExecutionStart(_text(data["prompt_id"]))


def _execution_cached(data: dict[str, Any]) -> ExecutionCached:
    return ExecutionCached(_text(data["prompt_id"]), tuple(map(str, data["nodes"])))


def _executing(data: dict[str, Any]) -> Executing:
    # Nodes of an expanded subgraph have ids like "1.0.0.3"; display_node is the submitted one.
    node = data["node"]
    shown = None if node is None else data.get("display_node") or node
    return Executing(_text_or_none(data.get("prompt_id")), _text_or_none(shown))


def _progress_state(data: dict[str, Any]) -> ProgressState:
    return ProgressState(
        _text(data["prompt_id"]),
        {node_id: _node_progress(node) for node_id, node in data["nodes"].items()},
    )


def _node_progress(node: dict[str, Any]) -> NodeProgress:
    return NodeProgress(_number(node["value"]), _number(node["max"]), node["state"] == "finished")


def _progress(data: dict[str, Any]) -> StepProgress:
    return StepProgress(
        _text_or_none(data.get("prompt_id")),
        _text_or_none(data.get("node")),
        _number(data["value"]),
        _number(data["max"]),
    )


def _executed(data: dict[str, Any]) -> Executed:
    node = _text(data["node"])
    return Executed(_text(data["prompt_id"]), node, files_of(node, data.get("output")))


def _execution_success(data: dict[str, Any]) -> ExecutionSuccess:
    return ExecutionSuccess(_text(data["prompt_id"]))


def _execution_error(data: dict[str, Any]) -> ExecutionError:
    _text(data["prompt_id"])
    return execution_error(data)


def _execution_interrupted(data: dict[str, Any]) -> ExecutionInterrupted:
    return ExecutionInterrupted(_text(data["prompt_id"]), str(data.get("node_id", "")))


_PARSERS: Final[Mapping[str, Callable[[dict[str, Any]], Message]]] = {
    "status": _status,
    "execution_start": _execution_start,
    "execution_cached": _execution_cached,
    "executing": _executing,
    "progress_state": _progress_state,
    "progress": _progress,
    "executed": _executed,
    "execution_success": _execution_success,
    "execution_error": _execution_error,
    "execution_interrupted": _execution_interrupted,
}


def _parse_binary(frame: bytes) -> Message:
    """Binary frames begin with a big-endian word that gives their kind."""
    (kind,) = _WORD.unpack_from(frame)
    if kind == _PREVIEW:
        (image_type,) = _WORD.unpack_from(frame, 4)
        return PreviewFrame(None, None, _picture(frame, 8), _LEGACY_TYPES[image_type])
    if kind == _PREVIEW_WITH_METADATA:
        return _preview_with_metadata(frame)
    return Unknown(f"binary {kind}")


def _preview_with_metadata(frame: bytes) -> PreviewFrame:
    (length,) = _WORD.unpack_from(frame, 4)
    start = 8 + length
    if start > len(frame):
        raise ValueError("the metadata is cut short")
    metadata = readable_json(json.loads(frame[8:start]))
    if metadata["image_type"] not in PREVIEW_TYPES:
        raise ValueError("not an image type")
    return PreviewFrame(
        _text_or_none(metadata.get("prompt_id")),
        _text_or_none(metadata.get("display_node_id") or metadata.get("node_id")),
        _picture(frame, start),
        metadata["image_type"],
    )


def _picture(frame: bytes, start: int) -> bytes:
    if len(frame) - start > PREVIEW_BYTES_MAX:
        raise ValueError("too large for a preview")
    return frame[start:]


def _number(value: Any) -> float:
    """Returns a finite number. ComfyUI's JSON may contain NaN, which Python accepts."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a string")
    return value


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
