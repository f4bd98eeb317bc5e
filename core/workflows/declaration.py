"""The declaration of a workflow: a name, typed inputs, outputs, what it requires, its graph.

Forms, API schemas, CSV columns, grids, schedules and Prefect's parameter forms are all made from
it. It is JSON: imported workflows are stored and exported as such.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import to_json

from core.artefacts import ArtefactKind
from core.fields import SEED_MAX
from core.invalid import invalid

InputType = Literal[
    "text", "longtext", "integer", "number", "boolean", "choice", "seed", "model",
    "image", "mask", "video", "audio", "model3d", "file", "list", "group",
]  # fmt: skip
"""What an input takes. ``choice``: one of a list; ``model``: a file in one of ComfyUI's model
folders; ``list``: any number of ``items``; ``group``: an object of ``fields``."""
UPLOAD_TYPES: Final = frozenset({"image", "mask", "video", "audio", "model3d", "file"})
"""Inputs of these types refer to a file: ``upload:<id>`` or ``artefact:<id>``."""
Role = Literal[
    "prompt", "negative_prompt", "seed", "width", "height", "steps", "cfg", "guidance",
    "sampler", "scheduler", "denoise", "model", "vae", "text_encoder", "lora", "batch_size",
    "init_image", "mask", "reference_image", "control_image", "duration_s", "fps", "length",
]  # fmt: skip
"""What an input means, whatever its name: forms, batches, search and figures go by it."""
ROLES: Final[frozenset[str]] = frozenset(get_args(Role))
SHARED_ROLES: Final[frozenset[str]] = frozenset(
    {"model", "vae", "text_encoder", "lora", "reference_image", "control_image"}
)
"""Roles that several inputs of a workflow may have; the first of them counts."""
ROLE_TYPES: Final[Mapping[Role, tuple[InputType, ...]]] = {
    "prompt": ("text", "longtext"),
    "negative_prompt": ("text", "longtext"),
    "seed": ("seed", "integer"),
    "width": ("integer",),
    "height": ("integer",),
    "steps": ("integer",),
    "batch_size": ("integer",),
    "length": ("integer", "choice"),
    "cfg": ("number", "integer"),
    "guidance": ("number", "integer"),
    "denoise": ("number", "integer"),
    "duration_s": ("number", "integer", "choice"),
    "fps": ("number", "integer", "choice"),
    "init_image": ("image",),
    "mask": ("mask", "image"),
}
"""The types of inputs that a role may be of; any type for a role that is not here."""
INPUTS_MAX: Final = 500
"""The most inputs of a workflow, and the most entries of a list-valued one."""
NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""Names of workflows: they stand in URLs, file names and tags."""
INPUT_PATTERN: Final = r"^[a-z][a-z0-9_]{0,63}$"
"""Names of inputs: they are keys in JSON, columns in CSV, and options."""

WorkflowName = Annotated[str, Field(pattern=NAME_PATTERN)]
InputName = Annotated[str, Field(pattern=INPUT_PATTERN)]
Label = Annotated[str, Field(max_length=200)]
Help = Annotated[str, Field(max_length=2000)]


class _Value(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Target(_Value):
    """Where a value goes: an input ``field`` of the node ``node`` of the graph."""

    node: Annotated[str, Field(min_length=1, max_length=200)]
    field: Annotated[str, Field(min_length=1, max_length=200)]


class ChoicesFrom(_Value):
    """Choices by reference: those of a node class's input, in the ComfyUI that has it now."""

    node_class: Annotated[str, Field(min_length=1, max_length=200)]
    field: Annotated[str, Field(min_length=1, max_length=200)]


class Input(_Value):
    """One input of a workflow.

    ``default`` is used when it is left out; null where another rule gives one (a model's family;
    for a seed, chance). ``minimum``, ``maximum`` and ``multiple_of`` bound numbers, ``max_length``
    texts and lists. ``choices`` are frozen, ``choices_from`` are looked up, those of several places
    together. ``targets`` are the places of the graph that get the value; a built-in workflow's
    builder needs none.
    """

    name: InputName
    type: InputType
    role: Role | None = None
    label: Label | None = None
    help: Help | None = None
    group: Label | None = None
    advanced: bool = False
    required: bool = False
    default: JsonValue = None
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: Annotated[float, Field(gt=0)] | None = None
    max_length: Annotated[int, Field(ge=1)] | None = None
    choices: tuple[str | int | float | bool, ...] | None = None
    choices_from: ChoicesFrom | tuple[ChoicesFrom, ...] | None = None
    folder: Label | None = None
    items: Input | None = None
    fields: tuple[Input, ...] | None = None
    targets: tuple[Target, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.type == "list") != (self.items is not None):
            raise invalid("input_items", "a list, and only a list, says what its `items` are")
        if (self.type == "group") != (self.fields is not None):
            raise invalid("input_fields", "a group, and only a group, says its `fields`")
        if self.type == "choice" and not (self.choices or self.choices_from):
            raise invalid("input_choices", "a choice says its `choices` or `choices_from`")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise invalid("input_range", "`minimum` must not be more than `maximum`")
        _check_names(self.fields or ())
        return self

    @property
    def sources(self) -> tuple[ChoicesFrom, ...]:
        """Where its choices are looked up, none where they are not."""
        found = self.choices_from
        return (found,) if isinstance(found, ChoicesFrom) else found or ()

    @property
    def is_upload(self) -> bool:
        """Whether it refers to a file."""
        return self.type in UPLOAD_TYPES

    @property
    def seed_max(self) -> int:
        """The largest seed that it takes: a node may take less than others."""
        return SEED_MAX if self.maximum is None else min(SEED_MAX, int(self.maximum))


class Output(_Value):
    """What a node gives. ``optional``: a viewer, whose output need not come."""

    node: Annotated[str, Field(min_length=1, max_length=200)]
    kind: ArtefactKind
    name: Label
    primary: bool = False
    optional: bool = False


class ModelFile(_Value):
    """A model file that the graph names, in its ComfyUI folder; ``url``: where it is offered."""

    folder: Label
    name: Annotated[str, Field(min_length=1, max_length=500)]
    url: Annotated[str, Field(max_length=2000)] | None = None


class NodePack(_Value):
    """The pack of custom nodes that a class comes from, as the file says."""

    node_class: Annotated[str, Field(max_length=200)]
    pack: Annotated[str, Field(max_length=500)]
    version: Annotated[str, Field(max_length=100)] | None = None


class Requires(_Value):
    """What a ComfyUI must have. ``paid``: node classes that call paid services."""

    classes: tuple[str, ...] = ()
    models: tuple[ModelFile, ...] = ()
    packs: tuple[NodePack, ...] = ()
    paid: tuple[str, ...] = ()


class Origin(_Value):
    """Where an imported workflow comes from: the file's kind, its name, its hash."""

    kind: Literal["api", "ui", "app", "builtin"]
    file: Label | None = None
    sha256: str | None = None
    source: Label | None = None


class Workflow(_Value):
    """A workflow: what a user picks, and a generation carries out.

    ``graph`` is in ComfyUI's API format; None for a built-in workflow, whose builder makes it.
    ``ui`` is the same in the form of ComfyUI's page, where it was imported so. ``mapping`` gives
    model names that the graph wants and the name to use in their place.
    """

    name: WorkflowName
    title: Annotated[str, Field(min_length=1, max_length=200)]
    description: Help = ""
    inputs: Annotated[tuple[Input, ...], Field(max_length=INPUTS_MAX)] = ()
    outputs: tuple[Output, ...] = ()
    requires: Requires = Requires()
    origin: Origin | None = None
    mapping: dict[str, str] = {}
    graph: dict[str, Any] | None = None
    ui: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _fits_its_graph(self) -> Self:
        _check_names(self.inputs)
        _check_roles(self.inputs)
        if self.graph is not None:
            _check_targets(self.inputs, self.graph)
            _check_outputs(self.outputs, self.graph)
        return self

    @cached_property
    def version(self) -> str:
        """A hash of everything that it says, but for where it comes from."""
        told = self.model_dump(mode="json", exclude={"ui", "origin"})
        return hashlib.sha256(to_json(told)).hexdigest()[:16]

    @cached_property
    def by_name(self) -> Mapping[str, Input]:
        """The inputs by their names."""
        return {one.name: one for one in self.inputs}

    @cached_property
    def roles(self) -> Mapping[str, str]:
        """The name of the input that has each role."""
        return {one.role: one.name for one in reversed(self.inputs) if one.role is not None}

    def of_role(self, role: Role) -> Input | None:
        """Returns the input that has the role."""
        name = self.roles.get(role)
        return None if name is None else self.by_name[name]

    @cached_property
    def model_places(self) -> Mapping[str, frozenset[tuple[str, str]]]:
        """Where the graph names each model file that it requires: by name, nodes and fields."""
        found: dict[str, set[tuple[str, str]]] = {one.name: set() for one in self.requires.models}
        for node_id, node in (self.graph or {}).items() if found else ():
            for field, value in node.get("inputs", {}).items():
                for text in _texts_in(value):
                    if text in found:
                        found[text].add((node_id, field))
        return {name: frozenset(places) for name, places in found.items()}

    @property
    def kind(self) -> ArtefactKind | None:
        """The kind of its primary output, None where nothing is declared."""
        first = next((one for one in self.outputs if one.primary), None)
        return (first or self.outputs[0]).kind if self.outputs else None


def leaves(inputs: tuple[Input, ...], path: str = "") -> Iterator[tuple[str, Input]]:
    """Yields every input that is neither a list nor a group, with its dotted path.

    An entry of a list has ``*`` in its place: ``loras.*.name``.
    """
    for one in inputs:
        here = f"{path}{one.name}"
        if one.items is not None:
            inner = one.items.model_copy(update={"name": "*"})
            yield from leaves((inner,), f"{here}.")
        elif one.fields is not None:
            yield from leaves(one.fields, f"{here}.")
        else:
            yield here, one


def _texts_in(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:  # not recursive: a graph's values may be nested deeply
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list | dict):
            waiting.extend(one.values() if isinstance(one, dict) else one)


def _check_names(inputs: tuple[Input, ...]) -> None:
    seen: set[str] = set()
    for one in inputs:
        if one.name in seen:
            raise invalid("duplicate_input", f"two inputs are named {one.name}")
        seen.add(one.name)


def _check_roles(inputs: tuple[Input, ...]) -> None:
    seen: set[str] = set()
    for one in inputs:
        if one.role is None or one.role in SHARED_ROLES:
            continue
        if one.role in seen:
            raise invalid("duplicate_role", f"two inputs have the role {one.role}")
        seen.add(one.role)


def _check_targets(inputs: tuple[Input, ...], graph: Mapping[str, Any]) -> None:
    for path, one in leaves(inputs):
        for target in one.targets:
            if target.node not in graph:
                raise invalid(
                    "unknown_node",
                    f"the input {path} is for node {target.node}, which is not there",
                )


def _check_outputs(outputs: tuple[Output, ...], graph: Mapping[str, Any]) -> None:
    for one in outputs:
        if one.node not in graph:
            raise invalid("unknown_node", f"output {one.name}: there is no node {one.node}")
