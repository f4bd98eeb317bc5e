"""Reading JSON bodies strictly, before pydantic sees them.

``json.loads`` alone takes duplicate keys, NaN, UTF-16, deep nesting and lone surrogates, and what
it takes would fail later: in a database, in another client, as an answer of 500.
"""

from __future__ import annotations

import asyncio
import json
from email.message import Message
from typing import Any, Final, NoReturn, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError

from api.errors import ProblemError
from core.problems import FieldProblem

DEPTH_MAX: Final = 32
NUMBER_DIGITS_MAX: Final = 100
DIGITS_READ_MAX: Final = 4300
"""Python reads no longer whole numbers (``sys.get_int_max_str_digits``)."""
BODY_WITHIN_S: Final = 10.0
"""A body that takes longer is not coming, and holds a connection."""
_Model = TypeVar("_Model", bound=BaseModel)


async def read_body(request: Request, model: type[_Model], limit: int) -> tuple[_Model, bytes]:
    """The validated body and its bytes. Raises ProblemError and HTTPException."""
    _check_content_type(request)
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            body = await _read(request, limit)
    except TimeoutError as error:
        raise HTTPException(
            408, "the body did not arrive in time", headers={"Connection": "close"}
        ) from error
    return validate(model, parse(body)), body


def parse(body: bytes) -> Any:
    """Well-formed JSON in UTF-8. Raises ProblemError."""
    if not body:
        _invalid([], "missing", "a JSON body is required")
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or b"\x00" in body[:4]:
        _malformed("the body must be UTF-8 without a byte order mark")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        _malformed("the body is not UTF-8")
    _check_depth(text)
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except json.JSONDecodeError as error:
        _malformed(f"{error.msg} at line {error.lineno}, column {error.colno}")


def validate(model: type[_Model], value: Any) -> _Model:
    """The value as the model. Raises ProblemError with one entry for each wrong field."""
    if not isinstance(value, dict):
        _invalid([], "type", "the body must be a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = field_problems(error, value)
        raise ProblemError("invalid_request", _summary(found), errors=found) from error


def field_problems(error: ValidationError, body: Any) -> list[FieldProblem]:
    """What pydantic found in ``body``, without the values."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return [
        FieldProblem(
            loc=_place(body, item["loc"], item["type"]), code=item["type"], message=item["msg"]
        )
        for item in found
    ]


def _place(body: Any, loc: tuple[str | int, ...], kind: str) -> list[str | int]:
    """The part of ``loc`` that is in the body: pydantic goes on with its validators' own names."""
    place: list[str | int] = []
    for part in loc:
        try:
            body = body[part]
        except (KeyError, IndexError, TypeError):
            return [*place, part] if kind == "missing" else place
        place.append(part)
    return place


def _summary(found: list[FieldProblem]) -> str:
    where = ".".join(str(part) for part in found[0].loc) or "the request"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{where}: {found[0].message}{more}"


def _check_content_type(request: Request) -> None:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ProblemError("unsupported_media_type", "compressed bodies are not taken")
    # Without a type it is refused too: a page of another origin can send such a body unasked.
    message = Message()
    message["content-type"] = request.headers.get("content-type", "")
    kind = message.get_content_type()
    charset = message.get_content_charset("utf-8")
    is_json = kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
    if not is_json or charset not in ("utf-8", "utf8", "us-ascii"):
        raise ProblemError("unsupported_media_type", "send the body as application/json in UTF-8")


async def _read(request: Request, limit: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise ProblemError("payload_too_large", f"the body may have {limit} bytes at most")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise ProblemError("payload_too_large", f"the body may have {limit} bytes at most")
        chunks.append(chunk)
    return b"".join(chunks)


def _check_depth(text: str) -> None:
    """A scan that stops where recursion would begin to hurt; brackets in strings do not count."""
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                _malformed(f"the body is nested deeper than {DEPTH_MAX} levels")
        elif character in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        _malformed("the body has an object with a duplicate key")
    return value


def _integer(digits: str) -> int:
    if len(digits.removeprefix("-")) > DIGITS_READ_MAX:
        _malformed(f"the body has a number with more than {DIGITS_READ_MAX} digits")
    if len(digits) > NUMBER_DIGITS_MAX:
        _invalid([], "number_too_long", f"numbers may have {NUMBER_DIGITS_MAX} digits at most")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        _invalid([], "finite_number", "the body has a number that is too large")
    return value


def _no_constant(name: str) -> NoReturn:
    _invalid([], "finite_number", f"{name} is not a JSON number")


def _malformed(detail: str) -> NoReturn:
    raise ProblemError("malformed_json", detail)


def _invalid(loc: list[str | int], code: str, message: str) -> NoReturn:
    raise ProblemError(
        "invalid_request", message, errors=[FieldProblem(loc=loc, code=code, message=message)]
    )
