"""The wires of a graph: what feeds a field, who takes an output, and what the fields are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from comfy.importing.imported import ImportedGraph
from comfy.importing.marks import NodeMarks, Place
from comfy.importing.proposal.marked_nodes import value_field
from comfy.nodes import MATCH_TYPE, InputSpec, NodeCatalogue, NodeClass, live_inputs

ANY_TYPES: Final = frozenset({"*", "", MATCH_TYPE})
"""Types of sockets that take or give anything."""
_DEPTH_MAX: Final = 60
_LITERAL_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "INT": (int, float),
    "FLOAT": (int, float),
    "STRING": (str,),
    "BOOLEAN": (bool,),
}
_NO_MARKS: Final = NodeMarks()
_COMPUTES: Final = re.compile(r"math|expression|calculat", re.IGNORECASE)
"""Classes that compute a number from others: one number that they take stands for the result."""
_VALUE_FIELDS: Final = re.compile(
    r"^(value|int_?|integer|float_?|number|string|text|prompt|(noise_)?seed|source|any|anything"
    r"|input|a|bool|boolean|width|height|default(_value)?)$"
)
"""Fields of which a node gives the value on, whatever else it is told."""


class Link(NamedTuple):
    """The output ``slot`` of the node ``node_id``."""

    node_id: str
    slot: int


@dataclass(frozen=True)
class Wiring:
    """A graph with the classes of its nodes. Nothing is raised, however malformed the graph."""

    imported: ImportedGraph
    catalogue: NodeCatalogue

    @cached_property
    def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        """The inputs of every node, by its id, in the graph's order."""
        return {
            str(node_id): node["inputs"] if isinstance(node.get("inputs"), Mapping) else {}
            for node_id, node in self.imported.graph.items()
            if isinstance(node, Mapping) and isinstance(node.get("class_type"), str)
        }

    def class_type(self, node_id: str) -> str:
        """The class of a node as the graph names it; empty if there is no such node."""
        return str(self.imported.graph[node_id]["class_type"]) if node_id in self.nodes else ""

    def node_class(self, node_id: str) -> NodeClass | None:
        """The class of a node, None if this ComfyUI does not have it."""
        return self.catalogue.get(self.class_type(node_id))

    def title(self, node_id: str) -> str:
        """The title that the author gave to a node; empty where it is the class's own."""
        meta = self.imported.graph[node_id].get("_meta") if node_id in self.nodes else None
        told = meta.get("title") if isinstance(meta, Mapping) else None
        title = (self.marks(node_id).title or (told if isinstance(told, str) else "")).strip()
        found = self.node_class(node_id)
        return "" if title in {self.class_type(node_id), found.label if found else ""} else title

    def marks(self, node_id: str) -> NodeMarks:
        """What ComfyUI's page shows of a node."""
        return self.imported.marks.nodes.get(node_id, _NO_MARKS)

    def value(self, place: Place) -> Any:
        """What a field holds, None if it is not there. A wrapped list is unwrapped."""
        value = self.nodes.get(place.node_id, {}).get(place.input)
        return value["__value__"] if isinstance(value, Mapping) and "__value__" in value else value

    def link(self, place: Place) -> Link | None:
        """The output that a field is linked to, None for a value of its own."""
        return self._link(self.nodes.get(place.node_id, {}).get(place.input))

    def _link(self, value: Any) -> Link | None:
        if not isinstance(value, list | tuple) or len(value) != 2:
            return None
        origin, slot = value
        is_link = isinstance(origin, str) and isinstance(slot, int) and origin in self.nodes
        return Link(origin, slot) if is_link else None

    def places(self, node_id: str) -> Iterator[Place]:
        """Every field of a node."""
        for name in self.nodes.get(node_id, {}):
            if name:
                yield Place(node_id, name)

    def all_places(self) -> Iterator[Place]:
        """Every field of every node."""
        for node_id in self.nodes:
            yield from self.places(node_id)

    def is_literal(self, place: Place) -> bool:
        """Whether a field holds a value of its own, which a request may replace."""
        value = self.value(place)
        return self.link(place) is None and isinstance(value, str | int | float | bool)

    @cached_property
    def _specs(self) -> dict[str, dict[str, InputSpec]]:
        return {}

    def spec(self, place: Place) -> InputSpec | None:
        """What ComfyUI says of a field, None where it says nothing."""
        if place.node_id not in self._specs:
            found = self.node_class(place.node_id)
            inputs = self.nodes.get(place.node_id, {})
            live = live_inputs(found.inputs, inputs) if found else ()
            self._specs[place.node_id] = {spec.name: spec for spec in live}
        known = self._specs[place.node_id].get(place.input)
        return known or self.catalogue.input(self.class_type(place.node_id), place.input)

    def type_of(self, link: Link) -> str:
        """The type that an output gives; empty where it is not known."""
        found = self.node_class(link.node_id)
        if found is None or not 0 <= link.slot < len(found.outputs):
            return ""
        return found.outputs[link.slot].type

    def output_name(self, link: Link) -> str:
        """The name of an output in ComfyUI, in lower case; empty where it is not known."""
        found = self.node_class(link.node_id)
        if found is None or not 0 <= link.slot < len(found.outputs):
            return ""
        return found.outputs[link.slot].name.lower()

    def carried(self, place: Place) -> str:
        """The type that comes in at a linked field; empty where it is not known."""
        link = self.link(place)
        given = self.type_of(link) if link else ""
        if given not in ANY_TYPES:
            return given
        spec = self.spec(place)
        return spec.type if spec and spec.type not in ANY_TYPES else ""

    @cached_property
    def _takers(self) -> Mapping[str, tuple[Place, ...]]:
        takers: dict[str, list[Place]] = {}
        for place in self.all_places():
            link = self.link(place)
            if link:
                takers.setdefault(link.node_id, []).append(place)
        return {node_id: tuple(places) for node_id, places in takers.items()}

    def takers(self, node_id: str, slot: int | None = None) -> tuple[Place, ...]:
        """The fields that take an output of a node, or one output of it."""
        return tuple(
            place
            for place in self._takers.get(node_id, ())
            if slot is None or self.link(place) == (node_id, slot)
        )

    def above(self, node_id: str) -> frozenset[str]:
        """A node, and every node that feeds it."""
        found = {node_id}
        pending = [node_id]
        while pending:
            links = [self.link(place) for place in self.places(pending.pop())]
            new = {link.node_id for link in links if link} - found
            found |= new
            pending.extend(new)
        return frozenset(found)

    @cached_property
    def shown(self) -> frozenset[Place]:
        """The fields inside of subgraphs that the page shows outside."""
        return frozenset(
            place
            for shared in self.imported.marks.shared
            if shared.kind == "promoted" and ":" not in shared.node_id
            for place in shared.targets
        )

    def sources(self, place: Place, kind: str) -> tuple[Place, ...]:
        """The fields whose values arrive at a field: itself, or what passes through to it.

        ``kind`` is INT, FLOAT, STRING or BOOLEAN. Switches give every branch; what is computed
        from one value alone counts as that value. Empty where something else decides.
        """
        found: dict[Place, None] = {}
        complete = self._gather(place, kind, found, set())
        return tuple(found) if complete else ()

    def _gather(self, place: Place, kind: str, found: dict[Place, None], seen: set[Place]) -> bool:
        if place in seen or len(seen) > _DEPTH_MAX:
            return True
        seen.add(place)
        link = self.link(place)
        if link is None:
            if isinstance(self.value(place), _LITERAL_TYPES[kind]):
                found[place] = None
                return True
            return False
        passed = self._passed(link, kind)
        complete = [self._gather(one, kind, found, seen) for one in passed]
        return bool(complete) and all(complete)

    def _passed(self, link: Link, kind: str) -> tuple[Place, ...]:
        """The fields of a node that it passes on at an output."""
        places = tuple(self.places(link.node_id))
        class_type = self.class_type(link.node_id)
        marked = value_field(class_type)
        if marked is not None:
            return tuple(one for one in places if one.input == marked)
        if "switch" in class_type.lower():
            return tuple(one for one in places if one.input in ("on_true", "on_false"))
        if _COMPUTES.search(class_type):
            linked = tuple(one for one in places if self.link(one))
            return linked if len(linked) == 1 else ()
        if any(self.carried(one) not in {*_LITERAL_TYPES, ""} for one in places if self.link(one)):
            return ()
        own = tuple(one for one in places if self._is_of(one, kind))
        is_plain = len(own) == 1 and (
            len(places) == 1 or bool(_VALUE_FIELDS.match(own[0].input.lower()))
        )
        return own if is_plain else ()

    def _is_of(self, place: Place, kind: str) -> bool:
        numbers = {"INT", "FLOAT"}
        if self.link(place):
            carried = self.carried(place)
            return carried == kind or carried == "" or {carried, kind} <= numbers
        spec = self.spec(place)
        if spec is not None and spec.type in _LITERAL_TYPES:
            return spec.type == kind or {spec.type, kind} <= numbers
        if spec is not None and spec.type not in ANY_TYPES:
            return False
        value = self.value(place)
        is_flag = isinstance(value, bool)
        return isinstance(value, _LITERAL_TYPES[kind]) and is_flag == (kind == "BOOLEAN")

    @cached_property
    def heights(self) -> Mapping[str, int]:
        """How many nodes stand above each node on the longest way; cycles are cut."""
        heights: dict[str, int] = {}
        for start in self.nodes:
            self._measure(start, heights)
        return heights

    def _measure(self, start: str, heights: dict[str, int]) -> None:
        path: list[tuple[str, Iterator[Place]]] = [(start, self.places(start))]
        open_nodes = {start}
        while path:
            node_id, rest = path[-1]
            for place in rest:
                link = self.link(place)
                if link and link.node_id not in heights and link.node_id not in open_nodes:
                    open_nodes.add(link.node_id)
                    path.append((link.node_id, self.places(link.node_id)))
                    break
            else:
                above = [self.link(place) for place in self.places(node_id)]
                known = [heights.get(link.node_id, 0) for link in above if link]
                heights[node_id] = 1 + max(known, default=0)
                open_nodes.discard(node_id)
                path.pop()

    @cached_property
    def is_nested(self) -> bool:
        """Whether nodes of subgraphs are known to be inside: the author chose what they show."""
        return self.imported.source.form == "ui"

    def is_inside(self, node_id: str) -> bool:
        """Whether a node is inside of a subgraph, so that the page does not show its fields."""
        return self.is_nested and ":" in node_id
