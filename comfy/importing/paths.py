"""Names of model files as they are written on Windows, turned to how this ComfyUI writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy.importing.findings import Notice
from comfy.nodes import COMBO, NodeCatalogue, live_inputs


def with_own_separators(
    graph: Mapping[str, Any], catalogue: NodeCatalogue
) -> tuple[dict[str, Any], list[Notice]]:
    """The graph with ``\\`` as ``/`` (or the reverse) where only then a choice is there."""
    changed: dict[str, Any] = {}
    notices = []
    for node_id, node in graph.items():
        node_class = catalogue.get(node["class_type"])
        inputs = dict(node["inputs"])
        for spec in live_inputs(node_class.inputs, inputs) if node_class else ():
            value = inputs.get(spec.name)
            if spec.type != COMBO or not isinstance(value, str) or value in spec.choices:
                continue
            turned = (value.replace("\\", "/"), value.replace("/", "\\"))
            found = next((each for each in turned if each in spec.choices), None)
            if found is not None:
                inputs[spec.name] = found
                message = f"{value} is written {found} in this ComfyUI"
                notices.append(Notice("separator_turned", message, node_id, spec.name))
        changed[node_id] = {**node, "inputs": inputs}
    return changed, notices
