"""Nodes, sockets and links of the UI form, read from whatever a file holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from comfy.importing.documents import mappings

MUTED: Final = 2
BYPASSED: Final = 4


@dataclass(frozen=True)
class Socket:
    """An input or output of a node. ``widget`` is the widget's name where it belongs to one."""

    name: str
    type: str
    label: str = ""
    link: int | str | None = None
    widget: str = ""


@dataclass(frozen=True)
class Link:
    """A link from an output to an input, by ids and slots."""

    link_id: int | str
    origin_id: str
    origin_slot: int
    target_id: str
    target_slot: int


@dataclass(frozen=True)
class UiNode:
    """One node as the page saves it. ``values`` and ``named`` are its widgets' values."""

    node_id: str
    type: str
    mode: int = 0
    title: str = ""
    inputs: tuple[Socket, ...] = ()
    outputs: tuple[Socket, ...] = ()
    values: Any = None
    named: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    color: str = ""
    position: tuple[float, float] | None = None

    @property
    def first_value(self) -> Any:
        """The value of the first widget, None if there is none."""
        if isinstance(self.values, list):
            return self.values[0] if self.values else None
        if isinstance(self.values, Mapping):
            return next(iter(self.values.values()), None)
        return None

    @cached_property
    def proxies(self) -> Mapping[tuple[str, str], Any]:
        """The entries of ``proxyWidgets`` in order, with the values at their places.

        A key is an inner node's id and its widget's name; the value None says that there is none.
        """
        entries = self.properties.get("proxyWidgets")
        values = self.values if isinstance(self.values, list) else []
        found: dict[tuple[str, str], Any] = {}
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            match entry:
                case [int() | str() as node_id, str() as widget, *_]:
                    value = values[index] if index < len(values) else None
                    found.setdefault((str(node_id), widget), value)
        return found

    def input_named(self, name: str) -> int | None:
        """The slot of the input of that name."""
        return next((slot for slot, socket in enumerate(self.inputs) if socket.name == name), None)


def read_nodes(values: Any) -> Iterator[UiNode]:
    """The nodes of a list; what has no id or no type is passed over."""
    for told in mappings(values):
        node_id, kind = told.get("id"), told.get("type")
        if is_id(node_id) and isinstance(kind, str):
            yield _node(str(node_id), kind, told)


def _node(node_id: str, kind: str, told: Mapping[str, Any]) -> UiNode:
    named, properties = told.get("widgets_values_named"), told.get("properties")
    mode = told.get("mode")
    return UiNode(
        node_id=node_id,
        type=kind,
        mode=mode if isinstance(mode, int) else 0,
        title=_text(told.get("title")),
        inputs=tuple(_sockets(told.get("inputs"))),
        outputs=tuple(_sockets(told.get("outputs"))),
        values=told.get("widgets_values"),
        named=named if isinstance(named, dict) else None,
        properties=properties if isinstance(properties, dict) else {},
        color=_text(told.get("bgcolor")) or _text(told.get("color")),
        position=_position(told.get("pos")),
    )


def _sockets(values: Any) -> Iterator[Socket]:
    # Slots are counted, so a malformed socket keeps its place.
    for told in values if isinstance(values, list) else []:
        known = told if isinstance(told, dict) else {}
        widget = known.get("widget")
        link = known.get("link")
        yield Socket(
            name=_text(known.get("name")),
            type=_type(known.get("type")),
            label=_text(known.get("label")),
            link=link if is_id(link) else None,
            widget=_text(widget.get("name")) if isinstance(widget, dict) else "",
        )


def read_links(values: Any) -> Iterator[Link]:
    """The links of a graph, written as arrays or as objects."""
    for told in values if isinstance(values, list) else []:
        match told:
            case [link_id, origin, slot, target, target_slot, *_]:
                pass
            case {
                "id": link_id,
                "origin_id": origin,
                "origin_slot": slot,
                "target_id": target,
                "target_slot": target_slot,
            }:
                pass
            case _:
                continue
        if is_id(link_id) and is_id(origin) and is_id(target):
            yield Link(link_id, str(origin), _slot(slot), str(target), _slot(target_slot))


def is_id(value: object) -> bool:
    """Whether it can be the id of a node or a link."""
    return isinstance(value, int | str) and not isinstance(value, bool) and value != ""


def _slot(value: object) -> int:
    if isinstance(value, str) and value.isdecimal():
        value = int(value[:6])
    return value if isinstance(value, int) and value >= 0 else 0


def _type(value: object) -> str:
    if isinstance(value, list):
        return "COMBO"
    return value if isinstance(value, str) and value else "*"


def _position(value: object) -> tuple[float, float] | None:
    if isinstance(value, dict):
        value = [value.get("0"), value.get("1")]
    match value:
        case [int() | float() as x, int() | float() as y, *_]:
            return float(x), float(y)
        case _:
            return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
