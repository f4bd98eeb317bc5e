"""The file of an import, as a request brings it: a body, a form with a file, or a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi import Request
from python_multipart.multipart import parse_options_header

from api.body import media_type_of, read_file
from api.errors import ProblemError
from api.uploads.form import FileForm, malformed
from core import json as strict_json
from core.problems import FieldProblem
from core.uploads import shown_name

_SOURCE: Final = "source"
_SOURCE_MAX: Final = 1000
"""The most bytes of a body that names a source."""


@dataclass(frozen=True)
class SentFile:
    """A file with its name; or, without data, what is offered as ``source``.

    ``title`` is what the source calls it.
    """

    data: bytes
    name: str = ""
    source: str | None = None
    title: str = ""


async def sent_file(request: Request, limit: int, name: str | None) -> SentFile:
    """Returns what a request brings. Raises ProblemError and HTTPException."""
    body = await read_file(request, limit)
    content_type = request.headers.get("content-type", "")
    if (media_type_of(content_type) or content_type.partition(";")[0]) == "multipart/form-data":
        return _of_form(body, content_type)
    source = _source(body)
    if source is not None:
        return SentFile(b"", source=source)
    return SentFile(body, shown_name(name))


def _of_form(body: bytes, content_type: str) -> SentFile:
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if not boundary:
        raise malformed()
    form = FileForm(boundary)
    data = b"".join(form.feed(body))
    form.end()
    return SentFile(data, shown_name(form.name))


def _source(body: bytes) -> str | None:
    if len(body) > _SOURCE_MAX or f'"{_SOURCE}"'.encode() not in body:
        return None
    try:
        document = strict_json.parse(body)
    except (strict_json.MalformedJsonError, strict_json.UnusableJsonError):
        return None
    if not isinstance(document, dict) or list(document) != [_SOURCE]:
        return None
    if not isinstance(document[_SOURCE], str):
        found = [FieldProblem((_SOURCE,), "string_type", "must be a text such as template:NAME")]
        raise ProblemError("invalid_request", str(found[0]), errors=found)
    source: str = document[_SOURCE]
    return source
