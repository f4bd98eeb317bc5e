"""Values that an author named: promoted inputs of subgraphs, and primitives that feed several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from comfy.importing.marks import Place, SharedValue
from comfy.importing.ui.constants import Constants
from comfy.importing.ui.links import Origin
from comfy.importing.ui.nodes import UiNode
from comfy.importing.ui.page_nodes import PRIMITIVE
from comfy.importing.ui.scopes import Scope, Scopes

_OF_THE_PAGE = "control_after_generate"


class SharedValues:
    """Collects which places take their value from where, while the nodes are converted."""

    def __init__(self, scopes: Scopes, constants: Constants) -> None:
        self._scopes = scopes
        self._constants = constants
        self._targets: dict[Origin, list[Place]] = {}

    def add(self, origin: Origin, place: Place) -> None:
        """Say that a place takes its value from there."""
        self._targets.setdefault(origin, []).append(place)

    def found(self, graph: Mapping[str, Any]) -> Iterator[SharedValue]:
        """All of them in the order of the page. Places that the graph lacks are left out."""
        for scope in self._scopes:
            if scope.host is not None:
                yield from self._promoted(scope, scope.host, graph)
            for node in scope.definition.nodes.values():
                if node.type == PRIMITIVE or self._constants.holds(scope, node):
                    yield from self._primitive(scope, node, graph)

    def _primitive(
        self, scope: Scope, node: UiNode, graph: Mapping[str, Any]
    ) -> Iterator[SharedValue]:
        node_id = scope.id_of(node)
        socket = node.outputs[0] if node.outputs else None
        yield from self._shared(
            Origin("primitive", node_id, "value"),
            graph,
            title=node.title,
            label=(socket.label if socket else "") or node.title,
            kind=socket.type if socket else "*",
        )

    def _promoted(
        self, scope: Scope, host: UiNode, graph: Mapping[str, Any]
    ) -> Iterator[SharedValue]:
        """First in the order of ``proxyWidgets``, where the page shows it, then of the inputs."""
        title = host.title or scope.definition.name
        names: dict[str, None] = {}
        by_target = {
            (target[0].node_id, target[1].widget): border.name
            for border, target in zip(
                scope.definition.inputs, scope.definition.targets, strict=True
            )
            if target
        }
        for node_id, widget in host.proxies:
            name = by_target.get((node_id, widget)) or (widget if node_id == "-1" else None)
            if name is not None:
                names.setdefault(name)
            else:
                yield from self._without_input(scope, title, node_id, widget, graph)
        labels = {socket.name: socket.label for socket in host.inputs}
        borders = {border.name: border for border in scope.definition.inputs}
        for name in names | dict.fromkeys(borders):
            border = borders.get(name)
            if border:
                yield from self._shared(
                    Origin("promoted", scope.host_id, name),
                    graph,
                    title=title,
                    label=labels.get(name) or border.label or name,
                    kind=border.type,
                )

    def _without_input(
        self, scope: Scope, title: str, node_id: str, widget: str, graph: Mapping[str, Any]
    ) -> Iterator[SharedValue]:
        """A widget that the instance shows though it is no input of the subgraph."""
        name = widget.rpartition(": ")[2]  # some names are prefixed by the node's id
        inner_id = ":".join((*scope.path, node_id))
        inputs = _inputs(graph, inner_id)
        if name == _OF_THE_PAGE or name not in inputs or _is_link(inputs[name]):
            return
        socket_type = next(
            (
                socket.type
                for node in [scope.definition.nodes.get(node_id)]
                for socket in (node.inputs if node else ())
                if socket.widget == name
            ),
            "*",
        )
        yield SharedValue(
            "promoted",
            scope.host_id,
            title,
            name,
            name,
            socket_type,
            inputs[name],
            (Place(inner_id, name),),
        )

    def _shared(
        self, origin: Origin, graph: Mapping[str, Any], *, title: str, label: str, kind: str
    ) -> Iterator[SharedValue]:
        targets = tuple(
            place
            for place in self._targets.get(origin, ())
            if place.input in _inputs(graph, place.node_id)
            and not _is_link(_inputs(graph, place.node_id)[place.input])
        )
        if targets:
            value = _inputs(graph, targets[0].node_id)[targets[0].input]
            yield SharedValue(
                origin.kind, origin.node_id, title, origin.name, label, kind, value, targets
            )


def _inputs(graph: Mapping[str, Any], node_id: str) -> Mapping[str, Any]:
    node = graph.get(node_id)
    return node["inputs"] if node else {}


def _is_link(value: Any) -> bool:
    return isinstance(value, list)
