"""Imported workflows: their graph with the values of a request in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from core.workflows.declaration import Input, Workflow


def filled(workflow: Workflow, values: Mapping[str, Any], filename_prefix: str) -> dict[str, Any]:
    """Returns the workflow's graph (API format) with the values at their targets.

    Every node that names its files with a ``filename_prefix`` gets Easel's own.
    """
    graph: dict[str, Any] = deepcopy(workflow.graph or {})
    for one in workflow.inputs:
        if one.name in values:
            for target_of, value in _placed(one, values[one.name]):
                for target in target_of.targets:
                    graph[target.node]["inputs"][target.field] = _literal(value)
    for node in graph.values():
        inputs = node["inputs"]
        if isinstance(inputs.get("filename_prefix"), str):
            inputs["filename_prefix"] = filename_prefix
        for name, value in inputs.items():
            if isinstance(value, str) and value in workflow.mapping:
                inputs[name] = workflow.mapping[value]
    return graph


def _placed(one: Input, value: Any) -> Iterator[tuple[Input, Any]]:
    """Yields each declared place with its value; a list's entries follow one another."""
    if one.fields is not None and isinstance(value, Mapping):
        for field in one.fields:
            if field.name in value:
                yield from _placed(field, value[field.name])
    else:
        yield one, value


def _literal(value: Any) -> Any:
    """Returns the value as a graph has it: a list would be read as a link."""
    return {"__value__": value} if isinstance(value, list) else value
