"""Required inputs that a graph does not have, because its class has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy.importing.defaults import default_of, literal
from comfy.importing.findings import Notice
from comfy.importing.ui.widgets import has_widget
from comfy.nodes import NodeCatalogue, live_inputs


def with_defaults(
    graph: Mapping[str, Any], catalogue: NodeCatalogue
) -> tuple[dict[str, Any], list[Notice]]:
    """The graph with the declared defaults of required inputs, and what was filled in."""
    filled: dict[str, Any] = {}
    notices = []
    for node_id, node in graph.items():
        node_class = catalogue.get(node["class_type"])
        inputs = dict(node["inputs"])
        for spec in live_inputs(node_class.inputs, inputs) if node_class else ():
            absent = spec.name not in inputs or inputs[spec.name] is None
            if not (absent and spec.required and has_widget(spec)):
                continue
            default = default_of(spec)
            if default is not None:
                inputs[spec.name] = literal(default)
                message = (
                    f"the file holds no {spec.name} for {node['class_type']}: the default is taken"
                )
                notices.append(Notice("filled_from_default", message, node_id, spec.name))
        filled[node_id] = {**node, "inputs": inputs}
    return filled, notices
