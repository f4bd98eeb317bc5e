"""Reading bodies: their type and size, strict JSON (``core.json``), then pydantic."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from api.errors import ProblemError
from core import json as strict_json
from core.invalid import words
from core.problems import FieldProblem

BODY_WITHIN_S: Final = 10.0
"""Timeout for a whole body: a slow one occupies a connection."""
PROBLEMS_SHOWN: Final = 100
"""The most problems of one answer; the rest is counted in its ``detail``."""
NAME_SHOWN: Final = 100
"""How many characters of a client's own name are echoed."""
_PARAMETER: Final = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)')
_Model = TypeVar("_Model", bound=BaseModel)


async def read_body(request: Request, model: type[_Model], limit: int) -> tuple[_Model, bytes]:
    """Returns the validated body and its bytes. Raises ProblemError and HTTPException."""
    body = await _read_in_time(request, limit)
    return validate(model, parse(body)), body


async def read_object(request: Request, limit: int) -> tuple[dict[str, Any], bytes]:
    """Returns the body, a JSON object, and its bytes. Raises ProblemError and HTTPException."""
    body = await _read_in_time(request, limit)
    return as_object(parse(body)), body


async def read_file(request: Request, limit: int) -> bytes:
    """Returns the body, of whatever type. Raises ProblemError and HTTPException.

    ``api.limits`` says how long it may take, by its length.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ProblemError("unsupported_media_type", "compressed bodies are not taken")
    return await _received(request, limit, None)


async def _read_in_time(request: Request, limit: int) -> bytes:
    _check_content_type(request)
    return await _received(request, limit, BODY_WITHIN_S)


async def _received(request: Request, limit: int, within_s: float | None) -> bytes:
    try:
        async with asyncio.timeout(within_s):
            return await _read(request, limit)
    except TimeoutError as error:
        raise HTTPException(
            408, "the body did not arrive in time", headers={"Connection": "close"}
        ) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the client went away") from error


def as_object(value: Any) -> dict[str, Any]:
    """Returns the value. Raises ProblemError unless it is a JSON object."""
    if not isinstance(value, dict):
        raise _invalid("type", "the body must be a JSON object")
    return value


def parse(body: bytes) -> Any:
    """Returns the parsed JSON. Raises ProblemError unless it is well-formed and in UTF-8."""
    if not body:
        raise _invalid("missing", "a JSON body is required")
    try:
        return strict_json.parse(body)
    except strict_json.MalformedJsonError as error:
        raise ProblemError("malformed_json", str(error)) from error
    except strict_json.UnusableJsonError as error:
        raise _invalid(error.code, str(error)) from error


def validate(model: type[_Model], value: Any) -> _Model:
    """Returns the value as the model. Raises ProblemError with an entry for each wrong field."""
    as_object(value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = field_problems(error, value, known=model.model_fields)
        detail = summary(found, error.error_count())
        raise ProblemError("invalid_request", detail, errors=found) from error


def field_problems(
    error: ValidationError, body: Any, known: Iterable[str] = ()
) -> list[FieldProblem]:
    """Returns what pydantic found in ``body``, without the values: the first of it.

    ``known`` are the body's fields.
    """
    found = error.errors(include_url=False)
    return [
        FieldProblem(
            loc=tuple(_place(body, item["loc"], item["type"])),
            code=item["type"],
            message=words(item, known),
        )
        for item in islice(found, PROBLEMS_SHOWN)
    ]


def _place(body: Any, loc: tuple[str | int, ...], kind: str) -> list[str | int]:
    """Returns the part of ``loc`` that is in the body: pydantic appends its validators' names."""
    place: list[str | int] = []
    for part in loc:
        try:
            body = body[part]
        except (KeyError, IndexError, TypeError):
            return [*place, shown(part)] if kind == "missing" else place
        place.append(shown(part))
    return place


def shown(part: str | int) -> str | int:
    """Returns a part of a place as answers echo it: a name is cut where it is long."""
    return part[:NAME_SHOWN] if isinstance(part, str) else part


def summary(found: list[FieldProblem], total: int) -> str:
    """Returns the first problem in one line, and how many there are besides."""
    where = ".".join(str(part) for part in found[0].loc) or "the request"
    more = f" (and {total - 1} more)" if total > 1 else ""
    return f"{where}: {found[0].message}{more}"


def _check_content_type(request: Request) -> None:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ProblemError("unsupported_media_type", "compressed bodies are not taken")
    # A missing type is refused too: a page of another origin can send it without a preflight.
    if not _is_json(request.headers.get("content-type", "")):
        raise ProblemError("unsupported_media_type", "send the body as application/json in UTF-8")


@lru_cache(maxsize=64)
def media_type_of(content_type: str) -> str | None:
    """Returns the type, without its parameters; None if it says that the text is not UTF-8."""
    kind = content_type.partition(";")[0].strip().lower()
    for name, value in _PARAMETER.findall(content_type):
        # charset* (RFC 2231) is refused too: it has many broken forms and no use here.
        if name.lower().startswith("charset") and (
            name.lower() != "charset" or value.strip().strip('"').lower() not in _CHARSETS
        ):
            return None
    return kind


_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii"})


def _is_json(content_type: str) -> bool:
    kind = media_type_of(content_type) or ""
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


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


def _invalid(code: str, message: str) -> ProblemError:
    """Returns the problem of the body as a whole."""
    found = [FieldProblem((), code, message)]
    return ProblemError("invalid_request", message, errors=found)
