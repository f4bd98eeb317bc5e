"""Reading JSON strictly: the one parser for bodies and manifests, before pydantic sees them.

``json.loads`` alone accepts duplicate keys, NaN, UTF-16, deep nesting and lone surrogates, which
would fail later: in a database, in another client, as a 500 response.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any, Final

DEPTH_MAX: Final = 32
VALUES_MAX: Final = 500_000
"""The most values: each takes up to a hundred times its text in memory (``{}`` is two bytes)."""
MEMBERS_MAX: Final = 10_000
"""The most members of one object: nothing that Easel takes has more, and each may be wrong in
several ways, all of which would be told."""
NUMBER_DIGITS_MAX: Final = 100
DIGITS_READ_MAX: Final = 4300
"""Python parses no longer integers (``sys.get_int_max_str_digits``)."""


class MalformedJsonError(ValueError):
    """Input is not acceptable JSON. ``column`` counts characters from 1 where it is known."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(reason if line is None else f"{reason} at line {line}, column {column}")


class UnusableJsonError(ValueError):
    """JSON with a number that cannot be represented, or with too much in it.

    ``code`` is the problem's code.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def parse(data: bytes, what: str = "the body") -> Any:
    """Parses well-formed JSON in UTF-8; messages call it ``what`` and never echo it.

    Raises MalformedJsonError and UnusableJsonError.
    """
    text = _decoded(data, what)
    _check_extent(text, what)
    try:
        return json.loads(
            text,
            object_pairs_hook=partial(_unique, what),
            parse_constant=_no_constant,
            parse_int=partial(_integer, what),
            parse_float=partial(_number, what),
        )
    except json.JSONDecodeError as error:
        raise MalformedJsonError(error.msg, error.lineno, error.colno) from error


def _decoded(data: bytes, what: str) -> str:
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data[:4]:
        raise MalformedJsonError(f"{what} must be UTF-8 without a byte order mark")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"{what} is not UTF-8") from error


# A whole string, or one character of structure. Possessive: linear, whatever the text.
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)


def _check_extent(text: str, what: str) -> None:
    """Stops where recursion would get too deep or the values too many; strings do not count."""
    openings = text.count("[") + text.count("{")
    if openings <= DEPTH_MAX and openings + text.count(",") <= VALUES_MAX:
        return
    depth = values = 0
    for token in _TOKEN.finditer(text):
        character = text[token.start()]
        if character == '"':
            continue
        if character in "]}":
            depth -= 1
            continue
        values += 1
        if values > VALUES_MAX:
            message = f"{what} may have {VALUES_MAX} values at most"
            raise UnusableJsonError("too_many_values", message)
        if character != ",":
            depth += 1
            if depth > DEPTH_MAX:
                raise MalformedJsonError(f"{what} is nested deeper than {DEPTH_MAX} levels")


def _unique(what: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MEMBERS_MAX:
        message = f"{what} has an object with more than {MEMBERS_MAX} members"
        raise UnusableJsonError("too_many_members", message)
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MalformedJsonError(f"{what} has an object with a duplicate key")
    return value


def _integer(what: str, digits: str) -> int:
    if len(digits.removeprefix("-")) > DIGITS_READ_MAX:
        raise MalformedJsonError(f"{what} has a number with more than {DIGITS_READ_MAX} digits")
    if len(digits) > NUMBER_DIGITS_MAX:
        raise UnusableJsonError(
            "number_too_long", f"numbers may have {NUMBER_DIGITS_MAX} digits at most"
        )
    return int(digits)


def _number(what: str, digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise UnusableJsonError("finite_number", f"{what} has a number that is too large")
    return value


def _no_constant(name: str) -> Any:
    raise UnusableJsonError("finite_number", f"{name} is not a JSON number")
