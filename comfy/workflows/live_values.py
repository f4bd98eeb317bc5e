"""What only a ComfyUI can say of a request's values: its choices, its ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from comfy.nodes import COMBO, Choice, InputSpec, NodeCatalogue
from core.problems import FieldProblem
from core.wording import nearest, written
from core.workflows.declaration import Input, Workflow, leaves

_Loc = tuple[str | int, ...]


def check_values(
    workflow: Workflow, values: Mapping[str, Any], catalogue: NodeCatalogue
) -> list[FieldProblem]:
    """Returns what is wrong with values that fit the declaration; nothing is raised.

    Choices by reference are compared with those that the ComfyUI has now (``unknown_model``,
    ``unknown_choice``), numbers with the ranges of the fields that they go to. Files are never
    compared: an upload is put there before the submit. Classes that are missing are told by
    ``readiness``.
    """
    graph = workflow.graph or {}
    found: list[FieldProblem] = []
    for one in workflow.inputs:
        if values.get(one.name) is not None:
            for loc, leaf, value in _leaves(one, values[one.name], (one.name,)):
                found.extend(_problems(workflow, graph, leaf, value, loc, catalogue))
    return found


def live_choices(workflow: Workflow, catalogue: NodeCatalogue) -> dict[str, tuple[Choice, ...]]:
    """Returns what the ComfyUI has now for each input whose choices are looked up, by its path.

    An entry of a list has ``*`` in its place. An input whose choices are not known is left out.
    """
    found: dict[str, tuple[Choice, ...]] = {}
    for path, one in leaves(workflow.inputs):
        if one.choices_from is None or one.is_upload:
            continue
        spec = catalogue.input(one.choices_from.node_class, one.choices_from.field)
        if spec is not None and spec.type == COMBO and spec.choices_known:
            found[path] = spec.choices
    return found


def _leaves(one: Input, value: Any, loc: _Loc) -> Iterator[tuple[_Loc, Input, Any]]:
    if one.fields is not None and isinstance(value, Mapping):
        for field in one.fields:
            if value.get(field.name) is not None:
                yield from _leaves(field, value[field.name], (*loc, field.name))
    elif one.items is not None and isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _leaves(one.items, entry, (*loc, index))
    else:
        yield loc, one, value


def _problems(
    workflow: Workflow,
    graph: Mapping[str, Any],
    one: Input,
    value: Any,
    loc: _Loc,
    catalogue: NodeCatalogue,
) -> Iterator[FieldProblem]:
    if one.is_upload:
        return
    if one.choices_from is not None:
        spec = catalogue.input(one.choices_from.node_class, one.choices_from.field)
        wanted = workflow.mapping.get(value, value) if isinstance(value, str) else value
        if spec is not None:
            yield from _of_choice(one, wanted, spec, loc)
    elif one.type in ("integer", "number", "seed"):
        for target in one.targets:
            class_type = graph.get(target.node, {}).get("class_type", "")
            fault = _out_of_range(value, catalogue.input(class_type, target.field))
            if fault is not None:
                yield FieldProblem(loc, *fault)
                return


def _of_choice(one: Input, value: Any, spec: InputSpec, loc: _Loc) -> Iterator[FieldProblem]:
    is_known = spec.type == COMBO and spec.choices_known and not spec.upload
    if not is_known or value in spec.choices:
        return
    choices = [str(choice) for choice in spec.choices]
    if one.type == "model":
        place = f" in its folder {one.folder}" if one.folder else ""
        what = f"{one.role or 'file'}s".replace("_", " ")
        said = f"ComfyUI has no {written(str(value))}{place}; {nearest(str(value), choices, what)}"
        yield FieldProblem(loc, "unknown_model", said)
    else:
        said = f"{written(str(value))} is not one of the choices"
        near = nearest(str(value), choices, "choices")
        yield FieldProblem(loc, "unknown_choice", f"{said}; {near}")


def _out_of_range(value: Any, spec: InputSpec | None) -> tuple[str, str] | None:
    if spec is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if spec.type not in ("INT", "FLOAT"):
        return None
    if spec.minimum is not None and value < spec.minimum:
        return "greater_than_equal", f"must be at least {spec.minimum} in this ComfyUI"
    if spec.maximum is not None and value > spec.maximum:
        return "less_than_equal", f"must be at most {spec.maximum} in this ComfyUI"
    return None
