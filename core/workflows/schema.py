"""A declaration as a pydantic model: one source of validation and of JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from copy import deepcopy
from functools import lru_cache
from threading import Lock
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
    create_model,
)

from core.fields import PROMPT_MAX, SEED_MAX, Name, Seed, Text, not_blank
from core.invalid import invalid
from core.wording import nearest
from core.workflows.declaration import INPUTS_MAX, Input, Workflow

TEXT_MAX: Final = PROMPT_MAX
_NAME_MAX: Final = 255
_KEPT: Final = 500
"""Models of so many versions are kept: making one takes milliseconds."""
_REFERENCE: Final = re.compile(
    r"upload:[0-9a-f]{64}"
    r"|artefact:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
_CONFIG: Final = ConfigDict(
    strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
)
_models: dict[tuple[str, str], type[BaseModel]] = {}
_making = Lock()


def inputs_model(workflow: Workflow) -> type[BaseModel]:
    """Returns the model whose fields are the workflow's inputs."""
    key = workflow.name, workflow.version
    model = _models.get(key)
    if model is not None:
        return model
    with _making:
        while len(_models) >= _KEPT:
            _models.pop(next(iter(_models)), None)
        model = _models[key] = _model(workflow.name, workflow.inputs)
    return model


def inputs_schema(workflow: Workflow) -> dict[str, Any]:
    """Returns the JSON Schema of the workflow's inputs; roles are told as ``x-role``."""
    return deepcopy(_schema(inputs_model(workflow)))


@lru_cache(maxsize=_KEPT)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _model(title: str, inputs: tuple[Input, ...]) -> type[BaseModel]:
    names = {one.name for one in inputs}
    fields: dict[str, Any] = {_attribute(one.name, names): _field(one) for one in inputs}
    # Prefixes such as ``model_`` are pydantic's own: here they are names that authors chose.
    config = ConfigDict(**_CONFIG, protected_namespaces=(), title=title)
    made: type[BaseModel] = create_model(title, __config__=config, **fields)
    return made


def _attribute(name: str, names: AbstractSet[str]) -> str:
    """Returns the input's name, or one like it that neither a model's method nor an input has.

    An input may be named ``copy`` or ``json``: its alias says so in values, errors and schema.
    """
    if not hasattr(BaseModel, name):
        return name
    free = f"{name}_"
    while free in names or hasattr(BaseModel, free):
        free += "_"
    return free


def _field(one: Input) -> tuple[Any, Any]:
    annotation = annotation_of(one)
    told: dict[str, Any] = {
        "title": one.label,
        "description": one.help,
        "json_schema_extra": _extra(one),
    }
    if hasattr(BaseModel, one.name):
        told["alias"] = one.name
    if one.required:
        return annotation, Field(**told)
    if one.default is None:
        return annotation | None, Field(default=None, **told)
    return annotation, Field(default=one.default, **told)


def _extra(one: Input) -> dict[str, JsonValue] | None:
    extra: dict[str, JsonValue] = {}
    if one.role is not None:
        extra["x-role"] = one.role
    if one.is_upload:
        extra["x-upload"] = one.type
    if one.sources:
        extra["x-choices-from"] = ",".join(f"{it.node_class}.{it.field}" for it in one.sources)
    return extra or None


def annotation_of(one: Input) -> Any:
    """Returns the type of an input's value."""
    bounds = {"ge": one.minimum, "le": one.maximum, "multiple_of": one.multiple_of}
    given: dict[str, Any] = {name: _plain(v) for name, v in bounds.items() if v is not None}
    match one.type:
        case "text" | "longtext":
            return _text(one)
        case "integer":
            return Annotated[int, Field(**given)]
        case "number":
            return Annotated[float, Field(**given)]
        case "boolean":
            return bool
        case "seed":
            return _seed(one)
        case "choice" if one.choices is not None:
            return _choice(one.choices)
        case "choice" if isinstance(one.default, int | float):
            return _ANY_CHOICE
        case "choice" | "model":
            return Name
        case "list":
            assert one.items is not None
            return Annotated[
                list[annotation_of(one.items)],  # type: ignore[misc]
                Field(max_length=one.max_length or INPUTS_MAX),
            ]
        case "group":
            return _model(one.name, one.fields or ())
        case _:
            return _upload(one)


def _plain(bound: float) -> int | float:
    return int(bound) if float(bound).is_integer() else bound


def _text(one: Input) -> Any:
    most = one.max_length or TEXT_MAX
    if one.required:
        return Annotated[Text, Field(min_length=1, max_length=most), AfterValidator(not_blank)]
    return Annotated[Text, Field(max_length=most)]


def _seed(one: Input) -> Any:
    """Seeds are drawn up to ``SEED_MAX``; a node that takes less has its own largest one."""
    most = one.seed_max
    return Seed if most == SEED_MAX else Annotated[Seed, Field(le=most)]


def _choice(choices: tuple[str | int | float | bool, ...]) -> Any:
    known = {(type(one), one) for one in choices}

    def among(value: Any) -> Any:
        if isinstance(value, str | int | float | bool) and (type(value), value) in known:
            return value
        raise invalid("literal_error", f"is not one of the choices; {_near(value, choices)}")

    return Annotated[Any, BeforeValidator(among), WithJsonSchema({"enum": list(choices)})]


def _any_choice(value: Any) -> Any:
    if isinstance(value, int | float) or (isinstance(value, str) and 0 < len(value) <= _NAME_MAX):
        return value
    raise invalid("literal_error", "is not one of the choices")


_ANY_CHOICE: Final = Annotated[
    Any,
    BeforeValidator(_any_choice),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
"""Choices by reference, some of which are no texts."""


def _near(value: Any, choices: tuple[str | int | float | bool, ...]) -> str:
    wanted = value if isinstance(value, str) else ""
    return nearest(wanted, [str(one) for one in choices], "choices")


def _upload(one: Input) -> Any:
    """A reference; or the default, which may be the name of a file that ComfyUI has."""
    schema: dict[str, Any] = {"type": "string", "pattern": f"^(?:{_REFERENCE.pattern})$"}
    if one.default is not None and not is_reference(one.default):
        schema = {"anyOf": [schema, {"const": one.default}]}
    return Annotated[
        Text, AfterValidator(_reference(one.type, one.default)), WithJsonSchema(schema)
    ]


def is_reference(value: Any) -> bool:
    """Whether it is the reference to an upload or an artefact."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def _reference(kind: str, default: Any) -> Callable[[str], str]:
    what = {"image": "an image", "mask": "a mask", "audio": "a sound"}.get(kind, f"a {kind}")

    def check(text: str) -> str:
        if text != default and not is_reference(text):
            raise invalid(
                "upload_reference",
                f"must be {what} that was uploaded (POST /api/v1/uploads) as upload:ID, or one "
                "that Easel rendered as artefact:ID",
            )
        return text

    return check
