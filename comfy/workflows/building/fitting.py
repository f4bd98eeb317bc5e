"""Makes a graph fit the ComfyUI that gets it: only inputs that its node classes declare."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from comfy.graph import Graph, Node
from comfy.nodes import NodeCatalogue
from comfy.nodes.classes import NodeClass


def fitted(graph: Graph, catalogue: NodeCatalogue | None) -> Graph:
    """Returns the graph without inputs that the classes do not have, and with those they require.

    What a class requires and the graph leaves out gets its default. A class that is not known
    stays as it is: ComfyUI says that it lacks it. Without a catalogue nothing is changed.
    """
    if catalogue is None:
        return graph
    nodes = {
        node_id: _fitted(node, catalogue.get(node.class_type))
        for node_id, node in graph.nodes.items()
    }
    return replace(graph, nodes=MappingProxyType(nodes))


def _fitted(node: Node, known: NodeClass | None) -> Node:
    if known is None:
        return node
    declared = {spec.name for spec in known.inputs}
    kept = {name: value for name, value in node.inputs.items() if name in declared}
    missing = {
        spec.name: spec.default
        for spec in known.inputs
        if spec.required and spec.default is not None and spec.name not in kept
    }
    return replace(node, inputs=MappingProxyType({**kept, **missing}))
