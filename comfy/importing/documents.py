"""JSON documents of any shape, and the graphs in them: API form, UI form, and what wraps them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from comfy.errors import WorkflowFileError
from comfy.importing.bounds import (
    CONTAINERS_MAX,
    DEPTH_MAX,
    JSON_MAX,
    NODES_MAX,
    VALUES_MAX,
)

_WRAPPERS_MAX: Final = 8
"""How many wrappers may be around a graph."""
_ITEMS_MAX: Final = 20
_PARSES_MAX: Final = 100
"""How many texts of one document are read as documents themselves; others hold no graph."""
_WRAPPERS: Final = (
    "prompt",
    "workflow",
    "output",
    "graph",
    "workflow_api",
    "workflow_json",
    "api",
    "input",
    "extra_data",
    "extra_pnginfo",
    "comment",
    "usercomment",
    "description",
    "parameters",
    "data",
    "json",
    "content",
    "template",
    "gltf",
    "asset",
    "extras",
)
"""Keys that a graph is found under, the likelier first."""
_OF_UI_NODES: Final = frozenset({"inputs", "outputs", "widgets_values", "mode", "properties"})
_NUMBER_MAX: Final = 10**300
_SWARM: Final = "sui_image_params"


@dataclass(frozen=True)
class Found:
    """The graphs of one document, each None if it has none; and Swarm's parameters."""

    api: Mapping[str, Any] | None = None
    ui: Mapping[str, Any] | None = None
    swarm: Mapping[str, Any] | None = None
    title: str = ""

    def or_else(self, other: Found) -> Found:
        """What is here, and from ``other`` what is not."""
        return Found(
            api=self.api if self.api is not None else other.api,
            ui=self.ui if self.ui is not None else other.ui,
            swarm=self.swarm if self.swarm is not None else other.swarm,
            title=self.title or other.title,
        )

    @property
    def has_graph(self) -> bool:
        """Whether there is a graph in either form."""
        return self.api is not None or self.ui is not None


def read_document(text: bytes | str) -> Any:
    """Returns a JSON document as plain values. Raises WorkflowFileError beyond the bounds."""
    size = len(text)
    if size > JSON_MAX:
        raise WorkflowFileError(
            "too_large", f"the document has {size:,} bytes, more than {JSON_MAX:,}"
        )
    decoded = text if isinstance(text, str) else _decoded(text)
    if decoded.count("{") + decoded.count("[") > CONTAINERS_MAX or decoded.count(",") > VALUES_MAX:
        raise WorkflowFileError("too_large", "the document has more parts than any workflow")
    try:
        return _plain(json.loads(decoded), 0)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise WorkflowFileError("malformed", f"no well-formed JSON{where}") from None


def find_graphs(document: Any) -> Found:
    """Returns the graphs of a document, in whatever they are wrapped."""
    return _Search().found(document, 0)


class _Search:
    """The search through one document. It goes to each part of it once."""

    def __init__(self) -> None:
        self._parses_left = _PARSES_MAX

    def found(self, value: Any, depth: int) -> Found:
        """The graphs of a part that is so many wrappers deep."""
        if depth > _WRAPPERS_MAX:
            return Found()
        if isinstance(value, str):
            return self.found(self._parsed(value), depth + 1)
        if isinstance(value, list):
            return self._first(value[:_ITEMS_MAX], depth + 1)
        if not isinstance(value, dict):
            return Found()
        if is_ui(value):
            return Found(ui=value, title=_title(value))
        if is_api(value):
            return Found(api=value)
        return self._unwrapped(value, depth)

    def _unwrapped(self, value: dict[str, Any], depth: int) -> Found:
        lowered = {key.lower(): inner for key, inner in value.items()}
        swarm = lowered.get(_SWARM)
        found = Found(swarm=swarm if isinstance(swarm, dict) else None)
        keys = [key for key in _WRAPPERS if key in lowered]
        is_alone = not keys and len(value) == 1  # the answer of GET /history/{id}
        inner = list(value.values()) if is_alone else [lowered[key] for key in keys]
        found = found.or_else(self._first(inner, depth + 1))
        if not found.has_graph and not is_alone:
            others = [one for key, one in lowered.items() if key not in _WRAPPERS]
            found = found.or_else(self._only(others[:_ITEMS_MAX], depth + 1))
        return replace(found, title=found.title or _title(value))

    def _only(self, values: list[Any], depth: int) -> Found:
        """The graphs of the one object that has any: of several, nobody knows which is meant."""
        graphs = [self.found(value, depth) for value in values if isinstance(value, dict)]
        known = [found for found in graphs if found.has_graph]
        return known[0] if len(known) == 1 else Found()

    def _first(self, values: list[Any], depth: int) -> Found:
        found = Found()
        for value in values:
            found = found.or_else(self.found(value, depth))
        return found

    def _parsed(self, text: str) -> Any:
        if text.lstrip()[:1] not in ("{", "[") or self._parses_left == 0:
            return None
        self._parses_left -= 1
        try:
            return read_document(text)
        except WorkflowFileError as error:
            if error.code == "malformed":
                return None
            raise


def is_ui(value: Mapping[str, Any]) -> bool:
    """Whether it is a workflow in UI form: a list of nodes with types."""
    nodes = value.get("nodes")
    return isinstance(nodes, list) and (
        isinstance(value.get("links"), list | dict)
        or any(isinstance(node, dict) and _is_ui_node(node) for node in nodes[:_ITEMS_MAX])
    )


def _is_ui_node(node: Mapping[str, Any]) -> bool:
    """Whether ComfyUI's page has saved it: other tools' workflows are lists of nodes, too."""
    return "type" in node and not _OF_UI_NODES.isdisjoint(node)


def is_api(value: Mapping[str, Any]) -> bool:
    """Whether it is a graph in API form: nodes with a ``class_type``, by their ids."""
    return any(
        isinstance(node, dict) and isinstance(node.get("class_type"), str)
        for node in value.values()
    )


def _title(value: Mapping[str, Any]) -> str:
    for key in ("title", "name"):
        if isinstance(value.get(key), str) and value[key].strip():
            return str(value[key]).strip()
    return ""


def _decoded(text: bytes) -> str:
    """The text of a document in any of the encodings that JSON files come in."""
    try:
        return text.decode(json.detect_encoding(text))
    except UnicodeDecodeError:
        raise WorkflowFileError(
            "malformed", "the file is neither JSON nor a known media file"
        ) from None


def _plain(value: Any, depth: int) -> Any:
    """A copy that every encoding and database takes: no NaN, no NUL, no lone surrogates.

    Numbers beyond all of ComfyUI's are none.
    """
    if depth > DEPTH_MAX:
        raise _too_deep()
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, dict):
        return {plain_text(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, int | float) and not -_NUMBER_MAX < value < _NUMBER_MAX:
        return None
    return value


def plain_text(text: str) -> str:
    """Returns the text with U+FFFD for what cannot be stored."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return text.replace("\0", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _too_deep() -> WorkflowFileError:
    return WorkflowFileError("too_deep", f"the document nests deeper than {DEPTH_MAX} levels")


def check_node_count(count: int, place: str) -> None:
    """Raises WorkflowFileError when a workflow has more nodes than are taken."""
    if count > NODES_MAX:
        raise WorkflowFileError(
            "too_many_nodes", f"the workflow has more than {NODES_MAX:,} nodes", place
        )


def mappings(values: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list; what is none of them, or no list, is passed over."""
    if isinstance(values, list):
        yield from (value for value in values if isinstance(value, dict))
