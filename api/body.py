"""Reading bodies: their type and size, strict JSON (``core.json``), then pydantic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from email.message import Message
from functools import lru_cache
from typing import Any, Final, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError

from api.errors import ProblemError
from core import json as strict_json
from core.invalid import words
from core.problems import FieldProblem

BODY_WITHIN_S: Final = 10.0
"""Timeout for a whole body: a slow one occupies a connection."""
SUGGESTED_MAX: Final = 100
"""For so many unknown fields near matches are looked up, which takes time."""
_Model = TypeVar("_Model", bound=BaseModel)


async def read_body(request: Request, model: type[_Model], limit: int) -> tuple[_Model, bytes]:
    """Returns the validated body and its bytes. Raises ProblemError and HTTPException."""
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
    if not isinstance(value, dict):
        raise _invalid("type", "the body must be a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = field_problems(error, value, known=model.model_fields)
        raise ProblemError("invalid_request", _summary(found), errors=found) from error


def field_problems(
    error: ValidationError, body: Any, known: Iterable[str] = ()
) -> list[FieldProblem]:
    """Returns what pydantic found in ``body``, without the values; ``known`` are its fields."""
    found = error.errors(include_url=False)
    return [
        FieldProblem(
            loc=tuple(_place(body, item["loc"], item["type"])),
            code=item["type"],
            message=words(item, known if number < SUGGESTED_MAX else ()),
        )
        for number, item in enumerate(found)
    ]


def _place(body: Any, loc: tuple[str | int, ...], kind: str) -> list[str | int]:
    """Returns the part of ``loc`` that is in the body: pydantic appends its validators' names."""
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
    # A missing type is refused too: a page of another origin can send it without a preflight.
    if not _is_json(request.headers.get("content-type", "")):
        raise ProblemError("unsupported_media_type", "send the body as application/json in UTF-8")


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type
    kind = message.get_content_type()
    charset = message.get_content_charset("utf-8")
    is_json = kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
    return is_json and charset in {"utf-8", "utf8", "us-ascii"}


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
