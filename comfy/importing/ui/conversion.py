"""From the UI form to a graph in API format: the one pass over all nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfy.importing.defaults import default_of, literal
from comfy.importing.findings import Notice
from comfy.importing.hints import Hints, read_hints
from comfy.importing.imported import DroppedNode
from comfy.importing.loading import OpenInput
from comfy.importing.marks import NodeMarks, Place, SharedValue
from comfy.importing.saving import OpenOutput
from comfy.importing.secrets import keys_of
from comfy.importing.ui.broadcasts import Broadcasts
from comfy.importing.ui.constants import Constants
from comfy.importing.ui.group_nodes import is_defined, unfolded
from comfy.importing.ui.links import Links, Origin
from comfy.importing.ui.looks import Looks
from comfy.importing.ui.nodes import BYPASSED, MUTED, UiNode
from comfy.importing.ui.own_values import OwnValues
from comfy.importing.ui.page_nodes import BROADCASTERS, PAGE_ONLY, is_group_node
from comfy.importing.ui.scopes import Scope, Scopes
from comfy.importing.ui.shared import SharedValues
from comfy.importing.ui.widgets import has_widget, is_unusable
from comfy.nodes import NodeCatalogue, NodeClass, live_inputs
from core.wording import listed

_COMPUTED = frozenset({"LOAD_3D", "WEBCAM", "AUDIO_RECORD", "COMPOSITOR", "PAINTER"})
"""Types of inputs whose value ComfyUI's page computes when the prompt is queued."""


@dataclass(frozen=True)
class Conversion:
    """A workflow in API format, whole: what no output reaches is still in it.

    ``cycles`` are places whose links lead in a circle through page-only nodes, ``secrets`` keys
    and tokens in any node, those that are off included; ``open_inputs`` and ``open_outputs`` are
    those of the root's subgraphs without a link. ``unnamed`` are nodes of missing classes whose
    values the file does not name, so that the graph lacks them.
    """

    graph: dict[str, Any]
    scopes: Scopes
    dropped: tuple[DroppedNode, ...]
    notices: tuple[Notice, ...]
    shared: SharedValues
    marks: Mapping[str, NodeMarks]
    hints: Hints
    secrets: frozenset[str]
    open_inputs: tuple[OpenInput, ...]
    open_outputs: tuple[OpenOutput, ...]
    cycles: frozenset[Place]
    unnamed: frozenset[str]

    def shared_values(self, graph: Mapping[str, Any]) -> tuple[SharedValue, ...]:
        """The values that the author named, as far as this part of the graph takes them."""
        return tuple(self.shared.found(graph))


def convert(workflow: Mapping[str, Any], catalogue: NodeCatalogue) -> Conversion:
    """Convert a workflow in UI form. Raises WorkflowFileError beyond the bounds."""
    return _Converter(workflow, catalogue).convert()


class _Converter:
    def __init__(self, workflow: Mapping[str, Any], catalogue: NodeCatalogue) -> None:
        self._catalogue = catalogue
        opened = unfolded(workflow, catalogue)
        self._workflow = workflow
        self._scopes = Scopes(opened.workflow)
        self._broadcasts = Broadcasts(self._scopes)
        self._own = OwnValues(self._scopes, catalogue)
        self._constants = Constants(self._scopes, catalogue)
        self._links = Links(self._scopes, self._broadcasts, self._own, self._constants)
        self._shared = SharedValues(self._scopes, self._constants)
        self._looks = Looks()
        self._graph: dict[str, Any] = {}
        self._dropped: list[DroppedNode] = []
        self._notices: list[Notice] = list(opened.notices)
        self._marks: dict[str, NodeMarks] = {}
        self._properties: list[tuple[str, Mapping[str, Any]]] = []
        self._secrets: set[str] = set()
        self._open: dict[Origin, list[Place]] = {}
        self._cycles: set[Place] = set()
        self._unnamed: set[str] = set()

    def convert(self) -> Conversion:
        for scope in self._scopes:
            off = self._off(scope)
            for node in scope.definition.nodes.values():
                self._node(scope, node, off)
        self._cut_dangling()
        self._tell_broadcasts()
        self._tell_constants()
        return Conversion(
            graph=self._graph,
            scopes=self._scopes,
            dropped=tuple(self._dropped),
            notices=tuple(self._notices),
            shared=self._shared,
            marks=self._marks,
            hints=read_hints(self._properties),
            secrets=frozenset(self._secrets),
            open_inputs=tuple(self._open_inputs()),
            open_outputs=tuple(self._open_outputs()),
            cycles=frozenset(self._cycles),
            unnamed=frozenset(self._unnamed),
        )

    def _off(self, scope: Scope) -> str:
        """Why all nodes of a scope are off; empty if they are not."""
        around: Scope | None = scope
        while around and around.host:
            reason = _reason(around.host.mode)
            if reason:
                return reason
            around = around.parent
        return ""

    def _node(self, scope: Scope, node: UiNode, off: str) -> None:
        node_id = scope.id_of(node)
        if is_group_node(node.type):
            self._tell_group_node(node_id, node)
        reason = (
            ("page_only" if node.type in PAGE_ONLY else "")
            or off
            or _reason(node.mode)
            or ("group_node" if is_group_node(node.type) else "")
            or ("constant" if self._constants.holds(scope, node) else "")
        )
        self._properties.append((node.type, node.properties))
        if reason:
            self._hide(scope, node)
            self._dropped.append(DroppedNode(node_id, node.type, node.title, reason))
        elif not self._scopes.is_instance(node):
            self._emit(scope, node, node_id)

    def _emit(self, scope: Scope, node: UiNode, node_id: str) -> None:
        node_class = self._catalogue.get(node.type)
        widgets = self._own.of(scope, node)
        values = dict(widgets.values)
        linked = {socket.name for socket in node.inputs if socket.link is not None}
        if node_class is None and widgets.is_unnamed:
            self._unnamed.add(node_id)
        if node_class:
            self._fill(node, node_id, node_class, values, linked)
            self._tell_computed(node_id, node, node_class, linked)
        inputs = {name: literal(value) for name, value in values.items()}
        self._feed(scope, node, node_id, inputs)
        title = node.title or (node_class.label if node_class else node.type)
        self._graph[node_id] = {
            "class_type": node.type,
            "inputs": inputs,
            "_meta": {"title": title},
        }
        self._marks[node_id] = self._looks.of(scope, node, title, widgets.controls)

    def _hide(self, scope: Scope, node: UiNode) -> None:
        """Find the secrets of a node that is off: the file is kept, too."""
        for name, value in self._own.of(scope, node).values.items():
            self._secrets.update(keys_of(name, value))

    def _open_inputs(self) -> Iterator[OpenInput]:
        for origin, places in self._open.items():
            node = self._scopes.root.definition.nodes.get(origin.node_id)
            slot = node.input_named(origin.name) if node else None
            if node is not None and slot is not None and node.inputs[slot].link is None:
                socket = node.inputs[slot]
                yield OpenInput(socket.type, socket.label or socket.name, tuple(places))

    def _open_outputs(self) -> Iterator[OpenOutput]:
        root = self._scopes.root
        taken = {(link.origin_id, link.origin_slot) for link in root.definition.links.values()}
        for node in root.definition.nodes.values():
            if not self._scopes.is_instance(node) or _reason(node.mode):
                continue
            for slot, socket in enumerate(node.outputs):
                fed = self._links.given(root, node, slot)
                if (node.node_id, slot) not in taken and fed.link and fed.link[0] in self._graph:
                    yield OpenOutput(socket.type, *fed.link)

    def _fill(
        self,
        node: UiNode,
        node_id: str,
        node_class: NodeClass,
        values: dict[str, Any],
        linked: set[str],
    ) -> None:
        """Fill in what the file does not hold; the chosen options bring along more inputs."""
        filled = []
        for spec in live_inputs(node_class.inputs, values):
            held = values.get(spec.name)
            replaces = held is not None and is_unusable(spec, held)
            if not has_widget(spec) or not (held is None or replaces):
                continue
            default = default_of(spec)
            if default is None:
                continue
            is_needed = spec.name not in values and spec.required
            if (is_needed or replaces) and spec.name not in linked:
                filled.append(spec.name)
            values[spec.name] = default
        if filled and (node.values or node.named):
            names = ", ".join(filled)
            message = (
                f"the file holds no usable value for {names} of {node.type}: the default is taken"
            )
            self._notices.append(Notice("filled_from_default", message, node_id, filled[0]))

    def _feed(self, scope: Scope, node: UiNode, node_id: str, inputs: dict[str, Any]) -> None:
        for slot, socket in enumerate(node.inputs):
            if not socket.name:
                continue
            place = Place(node_id, socket.name)
            fed = self._links.fed(scope, node, slot)
            if fed.is_cycle:
                self._cycles.add(place)
            if fed.link:
                inputs[socket.name] = list(fed.link)
            elif fed.is_value:
                inputs[socket.name] = literal(fed.value)
            if fed.origin and not fed.link and socket.name in inputs:
                self._shared.add(fed.origin, place)
            elif fed.origin and not fed.link:
                self._open.setdefault(fed.origin, []).append(place)

    def _cut_dangling(self) -> None:
        """Drop links to nodes that are not in the graph."""
        for node in self._graph.values():
            inputs = node["inputs"]
            for name in [name for name, value in inputs.items() if isinstance(value, list)]:
                if inputs[name][0] not in self._graph:
                    del inputs[name]

    def _tell_group_node(self, node_id: str, node: UiNode) -> None:
        name = node.type.partition(">")[2] or node.type.partition("/")[2]
        is_inside = is_defined(self._workflow, node.type)
        why = (
            "inside a subgraph or another group node"
            if is_inside
            else "that the file does not define"
        )
        message = (
            f'"{name}" is a group node {why}: '
            "convert it to a subgraph in ComfyUI, save the workflow, and import it again"
        )
        self._notices.append(Notice("group_node", message, node_id))

    def _tell_computed(
        self, node_id: str, node: UiNode, node_class: NodeClass, linked: set[str]
    ) -> None:
        for spec in node_class.inputs:
            if spec.type in _COMPUTED and spec.name not in linked:
                message = f"ComfyUI's page computes {spec.name} of {node.type} for each run"
                self._notices.append(Notice("computed_on_page", message, node_id, spec.name))

    def _tell_broadcasts(self) -> None:
        senders = [each for each in self._dropped if each.class_type in BROADCASTERS]
        told = set(self._broadcasts.unconnected)
        for sender in senders:
            if sender.node_id.rpartition(":")[2] in told:
                message = (
                    f"{sender.class_type} feeds inputs without links, and the file does not say "
                    "which: some may be left unconnected"
                )
                self._notices.append(Notice("unconnected", message, sender.node_id))

    def _tell_constants(self) -> None:
        found = [each for each in self._dropped if each.reason == "constant"]
        if found:
            names = listed(sorted({each.class_type for each in found}))
            message = f"of {names} the values stand where they go: no pack is needed for them"
            self._notices.append(Notice("constant", message))


def _reason(mode: int) -> str:
    return {MUTED: "muted", BYPASSED: "bypassed"}.get(mode, "")
