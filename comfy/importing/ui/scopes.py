"""Scopes: the root of a workflow and, for each instance of a subgraph, the nodes inside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from comfy.errors import WorkflowFileError
from comfy.importing.bounds import LINKS_MAX, SUBGRAPH_DEPTH_MAX
from comfy.importing.documents import check_node_count, mappings
from comfy.importing.ui.nodes import Link, Socket, UiNode, read_links, read_nodes

INPUT_BORDER: Final = "-10"
OUTPUT_BORDER: Final = "-20"
_SETTERS: Final = ("SetNode", "easy setNode")


@dataclass(frozen=True)
class BorderSocket:
    """An input or output of a subgraph, and the links to it inside."""

    name: str
    type: str
    label: str
    links: tuple[int | str, ...]


@dataclass(frozen=True)
class Definition:
    """A subgraph as the file defines it, or the root."""

    definition_id: str
    name: str
    nodes: Mapping[str, UiNode]
    links: Mapping[int | str, Link]
    inputs: tuple[BorderSocket, ...]
    outputs: tuple[BorderSocket, ...]
    groups: tuple[Mapping[str, Any], ...]
    extra: Mapping[str, Any]
    setters: Mapping[str, UiNode]

    @cached_property
    def targets(self) -> tuple[tuple[UiNode, Socket] | None, ...]:
        """For each input, the first widget inside that it feeds."""
        return tuple(self._target(border) for border in self.inputs)

    @cached_property
    def value_places(self) -> Mapping[int, int]:
        """Which of an instance's values belongs to the input of which number."""
        promoting = (index for index, target in enumerate(self.targets) if target)
        return {index: place for place, index in enumerate(promoting)}

    @cached_property
    def taken_slots(self) -> Mapping[str, frozenset[int]]:
        """The outputs that links take, by the ids of their nodes."""
        found: dict[str, set[int]] = {}
        for link in self.links.values():
            found.setdefault(link.origin_id, set()).add(link.origin_slot)
        return {node_id: frozenset(slots) for node_id, slots in found.items()}

    def index_of(self, name: str) -> int | None:
        """The number of the input of that name."""
        return self._numbers.get(name)

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {border.name: index for index, border in reversed(list(enumerate(self.inputs)))}

    def _target(self, border: BorderSocket) -> tuple[UiNode, Socket] | None:
        for link_id in border.links:
            link = self.links.get(link_id)
            node = self.nodes.get(link.target_id) if link else None
            if link is None or node is None:
                continue
            socket = next((each for each in node.inputs if each.link == link_id), None)
            if socket is None and link.target_slot < len(node.inputs):
                socket = node.inputs[link.target_slot]
            if socket and socket.widget:
                return node, socket
        return None


@dataclass(frozen=True)
class Scope:
    """One instance of a definition: where it is, and the node that stands for it outside."""

    path: tuple[str, ...]
    definition: Definition
    host: UiNode | None = None
    parent: Scope | None = None

    def id_of(self, node: UiNode) -> str:
        """The id of a node in API format: "12:5" for node 5 inside of instance 12."""
        return ":".join((*self.path, node.node_id))

    @property
    def host_id(self) -> str:
        """The id of the instance in API format; empty for the root."""
        return ":".join(self.path)

    @property
    def titles(self) -> tuple[str, ...]:
        """The titles of the instances around, outermost first."""
        scope: Scope | None = self
        found: list[str] = []
        while scope and scope.host:
            found.append(scope.host.title or scope.definition.name)
            scope = scope.parent
        return tuple(reversed(found))


class Scopes:
    """All scopes of one workflow, by their paths; the root's is empty.

    Raises WorkflowFileError when they are too many, too deep, or contain themselves.
    """

    def __init__(self, workflow: Mapping[str, Any]) -> None:
        self._definitions = _definitions(workflow)
        self._count = 0
        self._all: dict[tuple[str, ...], Scope] = {}
        self.root = Scope((), _definition("", workflow))
        self._load(self.root, ())

    def __iter__(self) -> Iterator[Scope]:
        return iter(self._all.values())

    def inside(self, scope: Scope, node: UiNode) -> Scope | None:
        """The scope that an instance stands for; None if the node is no instance."""
        return self._all.get((*scope.path, node.node_id)) if self.is_instance(node) else None

    def at(self, path: tuple[str, ...]) -> Scope | None:
        """The scope at a path."""
        return self._all.get(path)

    def is_instance(self, node: UiNode) -> bool:
        """Whether a node stands for a subgraph."""
        return node.type in self._definitions

    def _load(self, scope: Scope, around: tuple[str, ...]) -> None:
        self._count += len(scope.definition.nodes)
        check_node_count(self._count, "definitions.subgraphs" if scope.path else "nodes")
        self._all[scope.path] = scope
        for node in scope.definition.nodes.values():
            definition = self._definitions.get(node.type)
            if definition is None:
                continue
            place = f"node {scope.id_of(node)}"
            if node.type in around:
                raise WorkflowFileError(
                    "cycle", f'the subgraph "{definition.name}" contains itself', place
                )
            if len(scope.path) >= SUBGRAPH_DEPTH_MAX:
                raise WorkflowFileError(
                    "too_deep", f"subgraphs nest deeper than {SUBGRAPH_DEPTH_MAX} levels", place
                )
            inner = Scope((*scope.path, node.node_id), definition, node, scope)
            self._load(inner, (*around, node.type))


def _definitions(workflow: Mapping[str, Any]) -> dict[str, Definition]:
    told = workflow.get("definitions")
    subgraphs = told.get("subgraphs") if isinstance(told, dict) else None
    return {
        graph["id"]: _definition(graph["id"], graph)
        for graph in mappings(subgraphs)
        if isinstance(graph.get("id"), str)
    }


def _definition(definition_id: str, graph: Mapping[str, Any]) -> Definition:
    place = f"subgraph {definition_id}" if definition_id else ""
    links = graph.get("links")
    if isinstance(links, dict):  # written by some versions as a map by id
        links = list(links.values())
    nodes_told = graph.get("nodes")
    if isinstance(nodes_told, list):
        check_node_count(len(nodes_told), f"{place} nodes".strip())
    if isinstance(links, list) and len(links) > LINKS_MAX:
        raise WorkflowFileError(
            "too_large", f"the workflow has more than {LINKS_MAX:,} links", f"{place} links".strip()
        )
    nodes = {node.node_id: node for node in read_nodes(nodes_told)}
    extra, name = graph.get("extra"), graph.get("name")
    return Definition(
        definition_id=definition_id,
        name=name if isinstance(name, str) else "",
        nodes=nodes,
        links={link.link_id: link for link in read_links(links)},
        inputs=tuple(_border(graph.get("inputs"))) if definition_id else (),
        outputs=tuple(_border(graph.get("outputs"))) if definition_id else (),
        groups=tuple(mappings(graph.get("groups"))),
        extra=extra if isinstance(extra, dict) else {},
        setters={
            node.first_value: node
            for node in nodes.values()
            if node.type in _SETTERS and isinstance(node.first_value, str)
        },
    )


def _border(values: Any) -> Iterator[BorderSocket]:
    for told in values if isinstance(values, list) else []:
        known = told if isinstance(told, dict) else {}
        name, kind, label = known.get("name"), known.get("type"), known.get("label")
        links = known.get("linkIds")
        yield BorderSocket(
            name=name if isinstance(name, str) else "",
            type=kind if isinstance(kind, str) else "*",
            label=label if isinstance(label, str) else "",
            links=tuple(
                link for link in (links if isinstance(links, list) else []) if _is_link(link)
            ),
        )


def _is_link(value: object) -> bool:
    return isinstance(value, int | str)
