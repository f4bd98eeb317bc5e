"""What is wrong with a value, in our words: one table from pydantic's types of error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from core.wording import nearest

_OURS: Final = "message"
_OBJECT: Final = "must be a JSON object"
_WHOLE: Final = "must be a whole number"
_MOMENT: Final = "must be a date and a time with its zone, such as 2026-11-28T07:00:00Z"
WORDS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "there is no such field",
    "none_required": "must be left out or null",
    "value_error": "{error}",
    # texts
    "string_type": "must be a text",
    "string_unicode": "must be valid Unicode",
    "string_pattern_mismatch": "must have the form {pattern}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    # numbers
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number, neither infinite nor NaN",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    # objects and lists
    "dict_type": _OBJECT,
    "mapping_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "invalid_key": "every name must be a text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    # others
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "datetime_type": _MOMENT,
    "datetime_parsing": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "datetime_object_invalid": _MOMENT,
    "timezone_aware": _MOMENT,
    "path_type": "must be a path",
    "json_invalid": "must be well-formed JSON",
}
_LENGTHS: Final = frozenset({"too_short", "too_long", "string_too_short", "string_too_long"})


def problems_of(error: ValidationError) -> list[tuple[tuple[str | int, ...], str, str]]:
    """Returns place, type and words of everything that pydantic found. No value is repeated."""
    found = error.errors(include_url=False)
    return [(one["loc"], one["type"], words(one)) for one in found]


def words(found: Any, known: Iterable[str] = ()) -> str:
    """Returns one of pydantic's ``errors()`` in our words.

    With ``known``, the fields that there are, those nearest to an unknown one are named.
    """
    kind, context = found["type"], found.get("ctx") or {}
    if kind in _LENGTHS:
        return _length(found.get("input"), context)
    if kind not in WORDS or _OURS in context:
        return str(found["msg"])
    said = WORDS[kind].format_map({name: _written(value) for name, value in context.items()})
    fields = list(known)
    if kind == "extra_forbidden" and len(found["loc"]) == 1 and fields:
        return f"{said}; {nearest(str(found['loc'][0]), fields, what='fields')}"
    return said


def invalid(kind: str, message: str) -> PydanticCustomError:
    """Returns an error for a validator to raise: pydantic's type, which clients know; our words."""
    return PydanticCustomError(kind, f"{{{_OURS}}}", {_OURS: message})


def invalid_at(place: tuple[str | int, ...], kind: str, message: str) -> ValidationError:
    """Returns such an error of one place inside the value that a validator checks as a whole."""
    found = InitErrorDetails(type=invalid(kind, message), loc=place, input=None)
    return ValidationError.from_exception_data("", [found], hide_input=True)


def all_of(errors: Iterable[ValidationError]) -> ValidationError:
    """Returns one error with everything that is in several."""
    found = [
        InitErrorDetails(
            type=_as_raised(one), loc=one["loc"], input=one.get("input"), ctx=one.get("ctx") or {}
        )
        for error in errors
        for one in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data("", found, hide_input=True)


def _as_raised(found: Any) -> Any:
    """Returns the type of one of pydantic's ``errors()`` as an error is made of it again."""
    context = found.get("ctx") or {}
    return invalid(found["type"], str(found["msg"])) if _OURS in context else found["type"]


def _written(value: Any) -> Any:
    """Returns a limit as users write it: 30, not 30.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _length(value: Any, context: Mapping[str, Any]) -> str:
    """Texts are counted in characters, everything else in entries."""
    unit = "character" if isinstance(value, str) else "entry"
    least, most = context.get("min_length"), context.get("max_length")
    if least == 1:
        return "must not be empty"
    if least is not None:
        return f"must have at least {_counted(least, unit)}"
    has = f", not {len(value):,}" if isinstance(value, str | list | dict) else ""
    return f"may have {_counted(most or 0, unit)} at most{has}"


def _counted(number: int, unit: str) -> str:
    plural = {"character": "characters", "entry": "entries"}[unit]
    return f"{number:,} {unit if number == 1 else plural}"
