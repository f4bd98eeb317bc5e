"""Imported workflows: their graph with the values of a request in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from comfy.nodes import NodeCatalogue
from comfy.workflows.counting import PREFIX
from core.workflows.declaration import Input, Target, Workflow


def filled(
    workflow: Workflow,
    values: Mapping[str, Any],
    filename_prefix: str,
    catalogue: NodeCatalogue | None = None,
) -> dict[str, Any]:
    """Returns the workflow's graph (API format) with the values at their targets.

    Every node that saves under a ``filename_prefix`` gets Easel's own, linked or not; with a
    catalogue, only nodes that are known not to save keep theirs. What is null stays as the graph
    has it. Names of models are mapped as the workflow says, wherever they come from.
    """
    graph: dict[str, Any] = deepcopy(workflow.graph or {})
    for one in workflow.inputs:
        if values.get(one.name) is not None:
            for target, value in placed(one, values[one.name]):
                graph[target.node].setdefault("inputs", {})[target.field] = _literal(value)
    for node in graph.values():
        inputs = node.get("inputs", {})
        if PREFIX in inputs and _may_save(node, catalogue):
            inputs[PREFIX] = filename_prefix
        for name, value in inputs.items():
            if isinstance(value, str) and value in workflow.mapping:
                inputs[name] = workflow.mapping[value]
    return graph


def file_places(workflow: Workflow) -> Iterator[tuple[str, str]]:
    """Yields the places of the graph (node, input) that get the values of inputs for files."""
    waiting = list(workflow.inputs)
    while waiting:
        one = waiting.pop()
        waiting.extend(one.fields or ())
        if one.items is not None:
            waiting.append(one.items)
        if one.is_upload or (one.items is not None and one.items.is_upload):
            yield from ((target.node, target.field) for target in one.targets)


def _may_save(node: Mapping[str, Any], catalogue: NodeCatalogue | None) -> bool:
    known = catalogue.get(node.get("class_type", "")) if catalogue else None
    return known is None or known.output_node


def placed(one: Input, value: Any) -> Iterator[tuple[Target, Any]]:
    """Yields each declared place of an input with its value.

    Entries of a list go to the places of its items, the first to each leaf's first and so on;
    a list that has places of its own goes there as a whole.
    """
    yield from ((target, value) for target in one.targets)
    if one.fields is not None and isinstance(value, Mapping):
        for field in one.fields:
            if value.get(field.name) is not None:
                yield from placed(field, value[field.name])
    if one.items is not None and isinstance(value, list):
        for index, entry in enumerate(value):
            yield from placed(_entry(one.items, index), entry)


def _entry(items: Input, index: int) -> Input:
    """The declaration of one entry of a list: every leaf with the entry's own place."""
    fields = None if items.fields is None else tuple(_entry(one, index) for one in items.fields)
    return items.model_copy(update={"targets": items.targets[index : index + 1], "fields": fields})


def _literal(value: Any) -> Any:
    """Returns the value as a graph has it: a list would be read as a link."""
    return {"__value__": value} if isinstance(value, list) else value
