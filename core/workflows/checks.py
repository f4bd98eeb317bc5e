"""What a declaration must fulfil beyond its form, before it is stored: what users bring may err."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from core.invalid import words
from core.problems import FieldProblem
from core.workflows.declaration import INPUTS_MAX, ROLE_TYPES, SHARED_ROLES, Input, Workflow, leaves
from core.workflows.schema import annotation_of, is_reference

NODES_MAX: Final = 20_000
_CLASS_MAX: Final = 200
_FILE_MAX: Final = 500
_SHOWN: Final = 100
_UNSHOWN: Final = {"label": None, "help": None, "group": None, "advanced": False}
_UPWARDS: Final = re.compile(r"(?:^|[\\/])\.\.(?:[\\/]|$)")


HasField = Callable[[str, str], bool | None]
"""Whether nodes of a class have an input of this name; None where nothing is known of the class."""


def declaration_problems(
    workflow: Workflow, has_field: HasField | None = None
) -> list[FieldProblem]:
    """Returns what is wrong with a workflow's inputs and graph, with the place of each.

    An input may be for a field that its node in the graph leaves out, unless ``has_field`` knows
    that there is none. Without ``has_field`` nothing is known of any class.
    """
    many = _count(workflow.inputs)
    if many > INPUTS_MAX:
        said = f"there may be {INPUTS_MAX} inputs at most, those inside of others counted"
        return [FieldProblem(("inputs",), "too_many_inputs", said)]
    unbuildable = list(_unbuildable(workflow))
    if unbuildable:  # no default can be looked at
        return unbuildable
    graph = [] if workflow.graph is None else list(_graph_problems(workflow.graph))
    return [
        *_wrong_defaults(workflow.inputs, ("inputs",)),
        *_wrong_roles(workflow.inputs, ("inputs",)),
        *_roles_again(workflow.inputs),
        *_wrong_mapping(workflow.mapping),
        *(graph or _wrong_targets(workflow, has_field)),
    ]


def new_problems(
    problems: Sequence[FieldProblem],
    workflow: Workflow,
    before: Workflow,
    has_field: HasField | None = None,
) -> list[FieldProblem]:
    """Returns those of a workflow's problems that it did not have ``before``.

    Another value that is wrong in the same way is a new one.
    """
    known = set(declaration_problems(before, has_field))
    return [
        one for one in problems if one not in known or _part(workflow, one) != _part(before, one)
    ]


def _part(workflow: Workflow, one: FieldProblem) -> Any:
    """What the problem is about, without what only says how it is shown."""
    if one.loc[0] == "inputs" and len(one.loc) > 1:
        name = str(one.loc[1]).partition(".")[0]
        found = next((each for each in workflow.inputs if each.name == name), None)
        return found and found.model_copy(update=_UNSHOWN)
    return getattr(workflow, str(one.loc[0]), None)


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


def _wrong_roles(inputs: tuple[Input, ...], place: tuple[str | int, ...]) -> Iterator[FieldProblem]:
    """Yields roles that an input of its type cannot have."""
    for one in inputs:
        here = (*place, one.name, "role")
        types = ROLE_TYPES.get(one.role) if one.role is not None else None
        if one.role is not None and one.type in ("list", "group"):
            yield FieldProblem(here, "wrong_role", f"a {one.type} has no role; say it inside of it")
        elif types is not None and one.type not in types:
            said = f"an input of the type {one.type} cannot be the {one.role}: that is of the type "
            yield FieldProblem(here, "wrong_role", said + " or ".join(types))
        yield from _wrong_roles(_inside(one), (*place, one.name))


def _roles_again(inputs: tuple[Input, ...]) -> Iterator[FieldProblem]:
    """Yields inputs inside of others whose role another one has; the form says it of the rest."""
    seen = {one.role for one in inputs}
    for path, one in _every(inputs, ""):
        if "." not in path or one.role is None or one.role in SHARED_ROLES:
            continue
        if one.role in seen:
            said = f"another input has the role {one.role}"
            yield FieldProblem(("inputs", path, "role"), "duplicate_role", said)
        seen.add(one.role)


def _wrong_mapping(mapping: Mapping[str, str]) -> Iterator[FieldProblem]:
    """Yields names of model files that lead out of ComfyUI's folders, or are none."""
    for name, used in mapping.items():
        place = ("mapping", name[:_SHOWN])
        if not 0 < len(used) <= _FILE_MAX or not used.isprintable():
            yield FieldProblem(place, "file_name", "must be the name of a file that ComfyUI has")
        elif _UPWARDS.search(used) or used.startswith(("/", "\\")):
            yield FieldProblem(place, "unsafe_path", "names a file outside of ComfyUI's folders")


def has_wrong_role(one: Input) -> bool:
    """Whether an input of its type cannot have its role, or one inside of it."""
    return next(_wrong_roles((one,), ()), None) is not None


def _wrong_targets(workflow: Workflow, has_field: HasField | None) -> Iterator[FieldProblem]:
    """Yields places that the graph does not have: values would go nowhere."""
    graph = workflow.graph or {}
    for path, one in _every(workflow.inputs, ""):
        for number, target in enumerate(one.targets):
            place = ("inputs", path, "targets", number)
            node = graph.get(target.node)
            if node is None:
                said = f"there is no node {target.node[:_SHOWN]} in the graph"
                yield FieldProblem((*place, "node"), "unknown_node", said)
            elif target.field in node["inputs"]:
                continue
            elif has_field is not None and has_field(node["class_type"], target.field) is False:
                said = f"the node {target.node[:_SHOWN]} ({node['class_type']}) has no input "
                yield FieldProblem(
                    (*place, "field"), "unknown_field", f"{said}{target.field[:_SHOWN]}"
                )


def _every(inputs: tuple[Input, ...], before: str) -> Iterator[tuple[str, Input]]:
    for one in inputs:
        yield f"{before}{one.name}", one
        yield from _every(_inside(one), f"{before}{one.name}.")


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
