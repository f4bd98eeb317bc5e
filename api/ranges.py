"""Kept files as answers: whole, or the one part that a ``Range`` asks for (RFC 9110, 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastapi.responses import Response, StreamingResponse

from api.errors import ProblemError
from api.headers import is_unchanged
from store.artefacts.files import ArtefactFiles

_DIGITS_MAX: Final = 18
"""More are beyond the end of every file, and slow to read as a number."""


@dataclass(frozen=True)
class Asked:
    """What a client says of the file that it asks for: its conditional headers and its range."""

    range: str | None
    if_none_match: str | None
    if_range: str | None


async def file_response(
    files: ArtefactFiles,
    path: str,
    size: int,
    content_type: str,
    headers: Mapping[str, str],
    asked: Asked,
) -> Response:
    """Returns the answer to a request for a file; ``headers`` have its ``ETag``.

    Raises ProblemError 416 for a part that the file does not have, ArtefactStoreError.
    """
    told = {**headers, "Accept-Ranges": "bytes"}
    if is_unchanged(told["ETag"], asked.if_none_match):
        return Response(status_code=304, headers=told)
    part = _part(size, asked.range) if asked.if_range in (None, told["ETag"]) else None
    if part is None:
        status, part = 200, range(size)
    elif part:
        status = 206
        told["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    else:
        raise ProblemError(
            "range_not_satisfiable",
            f"the file has {size} bytes",
            headers={"Content-Range": f"bytes */{size}"},
        )
    told["Content-Length"] = str(len(part))
    # A stream: memory holds only a slice of the file, however large it is.
    slices = await files.stream(path, part.start, part.stop)
    return StreamingResponse(slices, status, told, content_type)


def _part(size: int, wanted: str | None) -> range | None:
    """Returns the part that a ``Range`` asks for, empty when the file has no such part.

    None for anything but one range of bytes: those are answered with the whole file
    (RFC 9110, 14.2).
    """
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if found is None or found.groups() == ("", ""):
        return None
    first, last = (int(digits[:_DIGITS_MAX]) if digits else None for digits in found.groups())
    if first is None:
        return range(max(0, size - (last or 0)), size)
    return range(first, size if last is None else min(last + 1, size))
