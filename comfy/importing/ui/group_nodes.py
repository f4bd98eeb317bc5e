"""Group nodes, the folding of nodes before there were subgraphs: rewritten as subgraphs.

A group node's type is ``workflow>NAME``; ``extra.groupNodes`` holds the nodes of each name, the
links between them by their numbers, and which outputs go outside. Its values are those of the
nodes inside, one after another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comfy.errors import WorkflowFileError
from comfy.importing.bounds import LINKS_MAX
from comfy.importing.documents import check_node_count, mappings
from comfy.importing.findings import Notice
from comfy.importing.ui.group_values import HeldValues, places, shared_out
from comfy.importing.ui.page_nodes import is_group_node
from comfy.importing.ui.widgets import widget_names
from comfy.nodes import NodeCatalogue

_PLACE: Final = "extra.groupNodes"
_BORDER_IN: Final = -10
_BORDER_OUT: Final = -20
_Json = dict[str, Any]


@dataclass(frozen=True)
class Unfolded:
    """A workflow without group nodes, as far as the file defines those at its root."""

    workflow: Mapping[str, Any]
    notices: tuple[Notice, ...] = ()


def unfolded(workflow: Mapping[str, Any], catalogue: NodeCatalogue) -> Unfolded:
    """The workflow with a subgraph for each group node that the file defines.

    Raises WorkflowFileError when they are of too many nodes, links or sockets.
    """
    known = _known(workflow)
    if not known or not isinstance(workflow.get("nodes"), list):
        return Unfolded(workflow)
    notices: list[Notice] = []
    nodes: list[Any] = []
    made: list[_Json] = []
    bounds = _Bounds()
    for node in workflow["nodes"]:
        group = _group(node, known)
        if group is None:
            nodes.append(node)
            continue
        bounds.add(node, group)
        folded = _Folded(node, group, f"group-node-{len(made)}", catalogue)
        nodes.append(folded.instance())
        made.append(folded.definition())
        if not folded.fits:
            notices.append(_misfit(node))
    if not made:
        return Unfolded(workflow)
    told = workflow.get("definitions")
    definitions = told if isinstance(told, dict) else {}
    others = definitions.get("subgraphs")
    subgraphs = [*(others if isinstance(others, list) else []), *made]
    definitions = {**definitions, "subgraphs": subgraphs}
    return Unfolded({**workflow, "nodes": nodes, "definitions": definitions}, tuple(notices))


def is_defined(workflow: Mapping[str, Any], class_type: str) -> bool:
    """Whether the file defines the group node of that type."""
    return _group({"type": class_type}, _known(workflow)) is not None


def _known(workflow: Mapping[str, Any]) -> Mapping[str, Any]:
    extra = workflow.get("extra")
    known = extra.get("groupNodes") if isinstance(extra, dict) else None
    return known if isinstance(known, dict) else {}


def _misfit(node: _Json) -> Notice:
    message = (
        f'the values of the group node "{_label(node)}" do not fit the nodes in it, which keep '
        "their own: compare them, or convert it to a subgraph in ComfyUI, save the workflow, and "
        "import it again"
    )
    return Notice("group_node_values", message)


def _label(node: _Json) -> str:
    return str(node.get("title") or node["type"][len("workflow>") :])


def _group(node: Any, known: Mapping[str, Any]) -> _Json | None:
    kind = node.get("type") if isinstance(node, dict) else None
    if not isinstance(kind, str) or not is_group_node(kind):
        return None
    group = known.get(kind[len("workflow>") :])
    is_whole = isinstance(group, dict) and isinstance(group.get("nodes"), list)
    return group if is_whole else None


class _Bounds:
    """Counts what all group nodes hold before it is copied for each of them."""

    def __init__(self) -> None:
        self._nodes = 0
        self._parts = 0
        self._known: dict[int, int] = {}

    def add(self, node: _Json, group: _Json) -> None:
        """Count one more. Raises WorkflowFileError beyond the bounds."""
        self._nodes += len(group["nodes"])
        check_node_count(self._nodes, _PLACE)
        if id(group) not in self._known:
            self._known[id(group)] = _parts_of(group)
        self._parts += self._known[id(group)] + len(_sockets(node))
        if self._parts > LINKS_MAX:
            raise WorkflowFileError(
                "too_large",
                f"the group nodes have more than {LINKS_MAX:,} links and sockets",
                _PLACE,
            )


def _parts_of(group: _Json) -> int:
    lists = [group.get("links"), group.get("external")]
    for inner in mappings(group["nodes"]):
        lists += [inner.get("inputs"), inner.get("outputs"), inner.get("widgets_values")]
    return sum(len(each) for each in lists if isinstance(each, list))


class _Free:
    """Inputs inside of a group node that nothing inside feeds, in their order."""

    def __init__(self, found: Iterable[tuple[int, int, _Json]]) -> None:
        self._all = list(found)
        self._taken: set[int] = set()
        self._waiting: dict[tuple[str, ...], deque[int]] = {}
        for index, (_, _, socket) in enumerate(self._all):
            side, kind, name = _side_of(socket), _kind_of(socket), _name_of(socket)
            for key in ((side,), (side, kind), (side, "", name), (side, kind, name)):
                self._waiting.setdefault(key, deque()).append(index)

    def take(self, outer: _Json) -> tuple[int, int] | None:
        """The node and slot of the first that an input of the group node can stand for.

        That of a widget has its name, if one has it.
        """
        index = self._first(outer, _name_of(outer)) if outer.get("widget") else None
        if index is None:
            index = self._first(outer)
        if index is None:
            return None
        self._taken.add(index)
        number, slot, _ = self._all[index]
        return number, slot

    def _first(self, outer: _Json, *name: str) -> int | None:
        side, kind = _side_of(outer), _kind_of(outer)
        if kind == "*":
            return self._head((side, "", *name) if name else (side,))
        heads = (self._head((side, each, *name)) for each in (kind, "*"))
        return min((head for head in heads if head is not None), default=None)

    def _head(self, key: tuple[str, ...]) -> int | None:
        waiting = self._waiting.get(key, deque())
        while waiting and waiting[0] in self._taken:
            waiting.popleft()
        return waiting[0] if waiting else None


class _Folded:
    """One group node and what is inside, by numbers."""

    def __init__(
        self, node: _Json, group: _Json, definition_id: str, catalogue: NodeCatalogue
    ) -> None:
        self._node = node
        self._id = definition_id
        self._catalogue = catalogue
        self._inner = list(mappings(group["nodes"]))
        self._links = list(_links(group.get("links"), len(self._inner)))
        self._config = group.get("config") if isinstance(group.get("config"), dict) else {}
        self._external = set(_external(group.get("external"), self._inner))
        shared = shared_out(node.get("widgets_values"), list(self._held()))
        self.fits = shared is not None
        self._values = shared or [inner.get("widgets_values") for inner in self._inner]
        self._entries = list(self._entered())

    def _held(self) -> Iterator[HeldValues]:
        fed = {(target, to) for _, _, target, to in self._links}
        for number, inner in enumerate(self._inner):
            sockets = list(enumerate(_sockets(inner)))
            widgets = [(slot, _widget_of(socket)) for slot, socket in sockets]
            names = places(inner, self._catalogue.get(str(inner.get("type"))))
            yield HeldValues(
                told=inner.get("widgets_values"),
                names=names,
                hidden=frozenset(n for n in names if not self._is_visible(number, "input", n)),
                fed=frozenset(name for slot, name in widgets if (number, slot) in fed),
                converted=frozenset(name for _, name in widgets),
            )

    def instance(self) -> _Json:
        """The node as the instance of a subgraph; the page showed the values inside on it."""
        told = self._node.get("properties")
        shown = [
            [str(number), name]
            for number, inner in enumerate(self._inner)
            for name in widget_names(self._catalogue.get(str(inner.get("type"))))
            if self._is_visible(number, "input", name)
        ]
        return {
            **self._node,
            "type": self._id,
            "widgets_values": None,
            "properties": {**(told if isinstance(told, dict) else {}), "proxyWidgets": shown},
        }

    def definition(self) -> _Json:
        """The subgraph."""
        links = [
            _link(index, origin, slot, target, to)
            for index, (origin, slot, target, to) in enumerate(self._links)
        ]
        inputs, outputs = [], []
        for border, (socket, target, to) in enumerate(self._entries):
            links.append(_link(len(links), _BORDER_IN, border, target, to))
            inputs.append({**socket, "linkIds": [len(links) - 1], "widget": None})
        for border, (socket, origin, slot) in enumerate(self._left()):
            links.append(_link(len(links), origin, slot, _BORDER_OUT, border))
            outputs.append({**socket, "linkIds": [len(links) - 1]})
        fed = {(each["target_id"], each["target_slot"]): each["id"] for each in links}
        nodes = [self._inside(number, inner, fed) for number, inner in enumerate(self._inner)]
        return {
            "id": self._id,
            "name": _label(self._node),
            "nodes": nodes,
            "links": links,
            "inputs": inputs,
            "outputs": outputs,
        }

    def _inside(self, number: int, inner: _Json, fed: Mapping[tuple[int, int], int]) -> _Json:
        sockets = [
            {**socket, "link": fed.get((number, slot))}
            for slot, socket in enumerate(_sockets(inner))
        ]
        return {**inner, "id": number, "inputs": sockets, "widgets_values": self._values[number]}

    def _entered(self) -> Iterator[tuple[_Json, int, int]]:
        """Each input of the group node, and the inner one that it stands for."""
        fed = {(target, to) for _, _, target, to in self._links}
        free = _Free(
            (number, slot, socket)
            for number, inner in enumerate(self._inner)
            for slot, socket in enumerate(_sockets(inner))
            if (number, slot) not in fed and self._is_visible(number, "input", _name_of(socket))
        )
        for outer in _sockets(self._node):
            chosen = free.take(outer)
            if chosen:
                yield outer, *chosen

    def _left(self) -> Iterator[tuple[_Json, int, int]]:
        """Each output of the group node, and the inner one that it stands for."""
        taken = {(origin, slot) for origin, slot, _, _ in self._links}
        for number, inner in enumerate(self._inner):
            for slot, socket in enumerate(mappings(inner.get("outputs"))):
                is_inside = (number, slot) in taken and (number, slot) not in self._external
                if not is_inside and self._is_visible(number, "output", str(slot)):
                    yield socket, number, slot

    def _is_visible(self, number: int, side: str, name: str) -> bool:
        told: Any = self._config
        for key in (str(number), side, name):
            told = told.get(key) if isinstance(told, dict) else None
        return not (isinstance(told, dict) and told.get("visible") is False)


def _side_of(socket: _Json) -> str:
    return "widget" if socket.get("widget") else "slot"


def _kind_of(socket: _Json) -> str:
    """The type of a socket: old files write the choices themselves."""
    kind = socket.get("type")
    if isinstance(kind, list):
        return "COMBO"
    return kind if isinstance(kind, str) and kind else "*"


def _widget_of(socket: _Json) -> str:
    widget = socket.get("widget")
    return _name_of(widget) if isinstance(widget, dict) else ""


def _name_of(socket: _Json) -> str:
    name = socket.get("name")
    return name if isinstance(name, str) else ""


def _links(values: Any, count: int) -> Iterator[tuple[int, int, int, int]]:
    """The links between nodes inside; those from outside have no origin."""
    for told in values if isinstance(values, list) else []:
        match told:
            case [int() as origin, int() as slot, int() as target, int() as to, *_] if (
                0 <= origin < count and 0 <= target < count and slot >= 0 and to >= 0
            ):
                yield origin, slot, target, to


def _external(values: Any, inner: Sequence[_Json]) -> Iterator[tuple[int, int]]:
    """Outputs that go outside though a node inside takes them, too."""
    for told in values if isinstance(values, list) else []:
        match told:
            case [int() as number, int() as slot, *_]:
                yield number, slot
            case [{"type": kind, "index": int() as number}, int() as slot, *_] if (
                0 <= number < len(inner) and inner[number].get("type") == kind
            ):
                yield number, slot


def _sockets(node: _Json) -> list[_Json]:
    return list(mappings(node.get("inputs")))


def _link(number: int, origin: int, slot: int, target: int, to: int) -> _Json:
    return {
        "id": number,
        "origin_id": origin,
        "origin_slot": slot,
        "target_id": target,
        "target_slot": to,
    }
