"""The columns of a manifest: made from the declaration of the batch's workflow.

A column is a field of the envelope, an input, or a value inside of one: ``loras.0.name`` is the
name of the first of ``loras``, ``metadata.order`` a label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from core import json as strict_json
from core.fields import METADATA_KEY_MAX
from core.problems import FieldProblem
from core.requests import ENVELOPE, GenerationRequest
from core.workflows.declaration import INPUTS_MAX, Input, Workflow

METADATA_PREFIX: Final = "metadata."
INPUTS_PREFIX: Final = "inputs."
"""For inputs that are named as a field of the envelope, or ``count``."""
COUNT: Final = "count"
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}(?:\.0{1,20})?")
_NUMBER: Final = re.compile(
    r"[+-]?(?:[0-9]{1,50}(?:\.[0-9]{0,50})?|\.[0-9]{1,50})(?:[eE][+-]?[0-9]{1,3})?"
)
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,2}")

Read = Callable[[str], Any]
"""Turns a cell into a JSON value. Raises CellError."""


class CellError(ValueError):
    """A cell cannot be read as what its column has."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)

    def of_row(self, row: int, column: str | None) -> FieldProblem:
        """Returns it as a problem of a row."""
        return FieldProblem.of_row(row, column, self.code, str(self))


class Columns:
    """The columns that a manifest for this workflow may have."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns by their plain names: inputs, envelope, ``count``."""
        inputs = [one.name for one in self.workflow.inputs if one.name not in _RESERVED]
        return (*inputs, *ENVELOPE, COUNT)

    @cached_property
    def fields(self) -> frozenset[str]:
        """The names that a row, ``defaults`` or a grid may have as they stand."""
        return frozenset({*self.names, "inputs"})

    def reader(self, name: str) -> Read | None:
        """Returns the reader of a column's cells, None for an unknown column."""
        if name in _ENVELOPE_READERS:
            return _ENVELOPE_READERS[name]
        if name.startswith(METADATA_PREFIX):
            key = name.removeprefix(METADATA_PREFIX)
            return str if 0 < len(key) <= METADATA_KEY_MAX and "\x00" not in key else None
        one = self.input(name)
        return None if one is None else _reader_of(one)

    def is_path(self, name: str) -> bool:
        """Returns whether the name is that of a value inside of an input: ``loras.0.name``."""
        if name.startswith(METADATA_PREFIX) or name in self.fields or "." not in name:
            return False
        return self.reader(name) is not None

    def input(self, name: str) -> Input | None:
        """Returns the input of a column, or what is inside of one; None if there is none."""
        path = name.removeprefix(INPUTS_PREFIX).split(".")
        one = self.workflow.by_name.get(path[0])
        for part in path[1:]:
            one = _inside(one, part)
        return one


def nested(values: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """Returns the fields with those that have dotted names put into their objects and lists.

    Raises CellError for an entry of a list whose predecessor is missing.
    """
    plain: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for name, value in values.items():
        is_label = name.startswith(METADATA_PREFIX)
        is_input = name.startswith(INPUTS_PREFIX) or columns.is_path(name)
        (paths if is_label or is_input else plain)[name] = value
    for name, value in paths.items():
        whole = name.startswith(METADATA_PREFIX)
        parts = name.split(".", 1) if whole else name.split(".")
        _put(plain, parts, value)
    return {name: _listed(name, value) for name, value in plain.items()}


def with_paths(inputs: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the inputs with values in them that have dotted names, such as ``loras.0.name``.

    ``inputs.`` before a name says that it is no field of the envelope. Raises CellError for an
    entry of a list whose predecessor is missing.
    """
    found = dict(inputs)
    changed = set()
    for name, value in paths.items():
        path = name.removeprefix(INPUTS_PREFIX).split(".")
        _put(found, path, value)
        changed.add(path[0])
    return {
        name: _entries(name, value) if name in changed else value for name, value in found.items()
    }


def _put(into: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = into.get(part)
        into[part] = dict(inner) if isinstance(inner, Mapping) else _numbered(inner)
        into = into[part]
    into[path[-1]] = value


def _numbered(value: Any) -> dict[str, Any]:
    """Returns a list's entries by their numbers, so that one of them can be replaced."""
    entries = value if isinstance(value, list) else []
    return {str(number): entry for number, entry in enumerate(entries)}


def _listed(name: str, value: Any) -> Any:
    """Returns an object whose keys are all numbers as a list."""
    return value if name == METADATA_PREFIX.removesuffix(".") else _entries(name, value)


def _entries(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _entries(f"{name}.{key}", each) for key, each in value.items()}
    if not inner or not all(_INDEX.fullmatch(key) for key in inner):
        return inner
    for number in range(len(inner)):
        if str(number) not in inner:
            message = f"{name}.{number} is missing, and a later entry is there"
            raise CellError("missing", message)
    return [inner[str(number)] for number in range(len(inner))]


def _inside(one: Input | None, part: str) -> Input | None:
    if one is None:
        return None
    if one.items is not None:
        at = int(part) if _INDEX.fullmatch(part) else INPUTS_MAX
        return one.items if at < (one.max_length or INPUTS_MAX) else None
    return next((field for field in one.fields or () if field.name == part), None)


def _reader_of(one: Input) -> Read:
    match one.type:
        case "integer" | "seed":
            return read_integer
        case "number":
            return read_number
        case "boolean":
            return _boolean
        case "choice" if one.choices is not None and not all(
            isinstance(choice, str) for choice in one.choices
        ):
            return _choice_reader(one.choices)
        case "list":
            return _list
        case "group":
            return _object
        case "text" | "longtext":
            return str  # as it is written: a blank may be wanted
        case _:
            # A blank around a name is a slip, as it is around a number.
            return str.strip


def read_integer(cell: str) -> int:
    """Returns a whole number. Raises CellError."""
    cell = cell.strip()
    if not _INTEGER.fullmatch(cell):
        raise CellError("int_parsing", "must be a whole number")
    return int(cell.partition(".")[0])  # spreadsheets write 20.0


def read_number(cell: str) -> float:
    """Returns a number. Raises CellError."""
    cell = cell.strip()
    if not _NUMBER.fullmatch(cell):
        raise CellError("float_parsing", "must be a number, with a point for decimals")
    return float(cell)


def _boolean(cell: str) -> bool:
    word = cell.strip().lower()  # spreadsheets write TRUE
    if word not in ("true", "false"):
        raise CellError("bool_parsing", "must be true or false")
    return word == "true"


def _choice_reader(choices: tuple[str | int | float | bool, ...]) -> Read:
    def read(cell: str) -> Any:
        wanted = cell.strip()
        return next((one for one in choices if str(one) == wanted), wanted)

    return read


def _object(cell: str) -> dict[str, Any]:
    value = _json(cell)
    if not isinstance(value, dict):
        raise CellError("dict_type", "must be a JSON object")
    return value


def _list(cell: str) -> list[Any]:
    value = _json(cell)
    if not isinstance(value, list):
        raise CellError("list_type", "must be a JSON list")
    return value


def _json(cell: str) -> Any:
    try:
        return strict_json.parse(cell.encode("utf-8"), "the cell")
    except strict_json.MalformedJsonError as error:
        raise CellError("malformed_json", str(error)) from error
    except strict_json.UnusableJsonError as error:
        raise CellError(error.code, str(error)) from error


def _bare(annotation: Any) -> Any:
    """Returns the JSON type inside ``Annotated``, ``| None`` and ``Literal``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bare(inner[0])
    if origin in (Union, UnionType):
        return _bare(next(each for each in inner if each is not NoneType))
    if origin is Literal:
        return type(inner[0])
    return origin or annotation


_BY_TYPE: Final[dict[Any, Read]] = {
    int: read_integer,
    str: str.strip,
    dict: _object,
    # The schema divides the text of a cell into the list's entries.
    list: str.strip,
}
_RESERVED: Final = frozenset({*ENVELOPE, COUNT, "inputs"})
_ENVELOPE_READERS: Final[dict[str, Read]] = {
    **{name: _BY_TYPE[_bare(GenerationRequest.model_fields[name].annotation)] for name in ENVELOPE},
    COUNT: read_integer,
}
