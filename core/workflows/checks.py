"""What a declaration must fulfil beyond its form, before it is stored: what users bring may err."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from core.invalid import words
from core.problems import FieldProblem
from core.workflows.declaration import INPUTS_MAX, Input, Workflow, leaves
from core.workflows.schema import annotation_of, is_reference

NODES_MAX: Final = 20_000
_CLASS_MAX: Final = 200
_FILE_MAX: Final = 500
_SHOWN: Final = 100
_UPWARDS: Final = re.compile(r"(?:^|[\\/])\.\.(?:[\\/]|$)")


def declaration_problems(workflow: Workflow) -> list[FieldProblem]:
    """Returns what is wrong with a workflow's inputs and graph, with the place of each."""
    many = _count(workflow.inputs)
    if many > INPUTS_MAX:
        said = f"there may be {INPUTS_MAX} inputs at most, those inside of others counted"
        return [FieldProblem(("inputs",), "too_many_inputs", said)]
    unbuildable = list(_unbuildable(workflow))
    if unbuildable:  # no default can be looked at
        return unbuildable
    return [
        *_wrong_defaults(workflow.inputs, ("inputs",)),
        *(_graph_problems(workflow.graph) if workflow.graph is not None else ()),
    ]


def has_wrong_default(one: Input) -> bool:
    """Whether a request could not say an input's default, or one inside of it."""
    return next(_wrong_defaults((one,), ()), None) is not None


def _unbuildable(workflow: Workflow) -> Iterator[FieldProblem]:
    """Yields the inputs whose bounds no schema can have, such as a fraction for whole numbers."""
    for path, one in leaves(workflow.inputs):
        bounds = (one.minimum, one.maximum, one.multiple_of)
        whole = all(bound is None or float(bound).is_integer() for bound in bounds)
        if one.type in ("integer", "seed") and not whole:
            said = "bounds of whole numbers must be whole numbers"
            yield FieldProblem(("inputs", path), "input_range", said)
        if one.type == "seed" and one.maximum is not None and one.maximum < 0:
            yield FieldProblem(("inputs", path), "input_range", "a seed may be 0 at least")


def _count(inputs: tuple[Input, ...]) -> int:
    return sum(1 + _count(_inside(one)) for one in inputs)


def _inside(one: Input) -> tuple[Input, ...]:
    return one.fields or (() if one.items is None else (one.items,))


def _wrong_defaults(
    inputs: tuple[Input, ...], place: tuple[str | int, ...]
) -> Iterator[FieldProblem]:
    for one in inputs:
        here = (*place, one.name)
        if one.is_upload and isinstance(one.default, str) and not is_reference(one.default):
            yield from _wrong_file(one.default, (*here, "default"))
        elif one.default is not None:
            try:
                TypeAdapter(annotation_of(one)).validate_python(one.default, strict=True)
            except ValidationError as error:
                found = error.errors(include_url=False)[0]
                yield FieldProblem((*here, "default"), found["type"], words(found))
        yield from _wrong_defaults(_inside(one), here)


def _wrong_file(name: str, place: tuple[str | int, ...]) -> Iterator[FieldProblem]:
    """Yields why it is not the name of a file in ComfyUI's input folder."""
    if not 0 < len(name) <= _FILE_MAX or not name.isprintable():
        yield FieldProblem(place, "file_name", "must be the name of a file that ComfyUI has")
    elif _UPWARDS.search(name) or name.startswith(("/", "\\")):
        yield FieldProblem(place, "unsafe_path", "names a file outside of ComfyUI's folders")


def _graph_problems(graph: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """Yields what keeps it from being a graph in API format, and names of files that lead out."""
    if not graph:
        yield FieldProblem(("graph",), "no_nodes", "has no nodes")
    if len(graph) > NODES_MAX:
        yield FieldProblem(("graph",), "too_many_nodes", f"may have {NODES_MAX} nodes at most")
        return
    for node_id, node in graph.items():
        yield from _node_problems(("graph", node_id[:_SHOWN]), node)


def _node_problems(place: tuple[str | int, ...], node: Any) -> Iterator[FieldProblem]:
    if not isinstance(node, dict):
        yield FieldProblem(place, "dict_type", "must be a JSON object")
        return
    kind, inputs, meta = node.get("class_type"), node.get("inputs"), node.get("_meta")
    if not isinstance(kind, str) or not 0 < len(kind) <= _CLASS_MAX:
        yield FieldProblem((*place, "class_type"), "class_type", "must be the name of a node class")
    if not isinstance(inputs, dict):
        yield FieldProblem((*place, "inputs"), "dict_type", "must be a JSON object")
    else:
        for name, value in inputs.items():
            if isinstance(value, str) and "\n" not in value and _UPWARDS.search(value):
                at = (*place, "inputs", name[:_SHOWN])
                yield FieldProblem(at, "unsafe_path", "names a file outside of ComfyUI's folders")
    title = meta.get("title") if isinstance(meta, dict) else None
    if not isinstance(meta, dict | None) or not isinstance(title, str | None):
        yield FieldProblem((*place, "_meta"), "dict_type", "must be an object with a title")
