"""Keys and tokens in a workflow's declaration: they are neither kept nor exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from comfy.importing.secrets import keys_of, without_keys, without_values
from core.workflows.declaration import Workflow

_PARTS: Final = ("title", "description", "inputs", "outputs", "requires", "mapping", "origin")
"""What has no values of widgets but defaults; the graph's texts are looked for elsewhere."""


def without_secrets(workflow: Workflow) -> tuple[Workflow, tuple[str, ...]]:
    """Returns the workflow without keys and tokens, and what was left out, as sentences."""
    told = workflow.model_dump(mode="json")
    graph = told["graph"] or {}
    known = {key for _, name, value in _values(graph) for key in keys_of(name, value)}
    safe = {**told, "inputs": [_with_safe_default(one) for one in told["inputs"]]}
    clean: dict[str, Any] = {
        **{part: without_values(safe[part], ()) for part in _PARTS},
        "graph": None if told["graph"] is None else without_values(graph, known),
        "ui": None if told["ui"] is None else without_values(told["ui"], known),
    }
    clean["title"] = clean["title"] or workflow.name
    if all(told[part] == value for part, value in clean.items()):
        return workflow, ()
    return Workflow.model_validate({**told, **clean}), tuple(_said(told, clean))


def _said(told: Mapping[str, Any], clean: Mapping[str, Any]) -> Iterator[str]:
    for node_id, name, value in _values(told["graph"] or {}):
        if clean["graph"][node_id]["inputs"][name] != value:
            node_class = told["graph"][node_id]["class_type"]
            yield (f"node {node_id}: {name} of {node_class} held a key or a token: it was left out")
    for part in _PARTS:
        if told[part] != clean[part]:
            yield f"{part} held a key or a token: it was left out"


def _values(graph: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yields every value of the nodes' inputs: the node's id, the field, the value."""
    for node_id, node in graph.items():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        for name, value in (inputs if isinstance(inputs, Mapping) else {}).items():
            yield node_id, name, value


def _with_safe_default(one: Mapping[str, Any]) -> dict[str, Any]:
    """An input, and those inside of it, without a default that is a key."""
    safe = dict(one)
    names = (one["name"], *(target["field"] for target in one["targets"]))
    default = one["default"]
    if any(any(keys_of(name, default)) for name in names) or _is_all_key(default):
        safe["default"] = None
    if one["items"] is not None:
        safe["items"] = _with_safe_default(one["items"])
    if one["fields"] is not None:
        safe["fields"] = [_with_safe_default(inner) for inner in one["fields"]]
    return safe


def _is_all_key(default: Any) -> bool:
    return isinstance(default, str) and default != "" and not without_keys(default).strip()
