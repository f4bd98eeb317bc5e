"""The pictures' bytes. An image never changes, but it may be deleted: browsers ask each time."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from fastapi.responses import Response, StreamingResponse

from api.errors import ProblemError
from api.generations.facade import FacadeOf
from api.headers import IfNoneMatch, is_unchanged
from api.ids import ImageId
from api.openapi import UNCHANGED, Omittable, problems
from store.values import Image

router = APIRouter(prefix="/api/v1/images", tags=["images"])

_DIGITS_MAX: Final = 18  # beyond any file; int() of thousands of digits takes long
_BYTES: Final[dict[str, Any]] = {"content": {"image/png": {}, "image/webp": {}}}


@router.get(
    "/{image_id:id}",
    summary="An image",
    response_class=Response,
    responses={
        200: _BYTES,
        206: {"description": "The part that was asked for", **_BYTES},
        304: UNCHANGED,
        **problems("not_found", "range_not_satisfiable", "not_available"),
    },
)
async def image(
    image_id: ImageId,
    facade: FacadeOf,
    range_: Annotated[
        Omittable[str],
        Header(alias="Range", description="One part of the file, as `bytes=0-1023`."),
    ] = None,
    if_none_match: IfNoneMatch = None,
    if_range: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """The file as ComfyUI made it."""
    found = await facade.store.generations.image(image_id)
    headers = _headers(f'"{found.sha256}"', f'inline; filename="{_filename(found)}"')
    headers["Accept-Ranges"] = "bytes"
    if is_unchanged(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    part = _part(found.bytes, range_) if if_range in (None, headers["ETag"]) else None
    if part is None:
        status, part = 200, range(found.bytes)
    elif part:
        status = 206
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{found.bytes}"
    else:
        raise ProblemError(
            "range_not_satisfiable",
            f"the image has {found.bytes} bytes",
            headers={"Content-Range": f"bytes */{found.bytes}"},
        )
    headers["Content-Length"] = str(len(part))
    # A stream: memory holds only a slice of the file, however large it is.
    slices = await facade.store.files.stream(found.path, part.start, part.stop)
    return StreamingResponse(slices, status, headers, found.content_type)


@router.get(
    "/{image_id:id}/thumbnail",
    summary="An image's thumbnail",
    response_class=Response,
    responses={
        200: _BYTES,
        304: UNCHANGED,
        **problems("not_found", "not_available"),
    },
)
async def thumbnail(
    image_id: ImageId, facade: FacadeOf, if_none_match: IfNoneMatch = None
) -> Response:
    """WebP, 384 pixels at its longer side."""
    found = await facade.store.generations.image(image_id)
    headers = _headers(f'"{found.sha256}-thumbnail"', "inline")
    if is_unchanged(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    data = await facade.store.files.read(found.thumbnail_path)
    return Response(data, media_type="image/webp", headers=headers)


def _headers(etag: str, disposition: str) -> dict[str, str]:
    """``no-cache``: kept by the browser, shown when a 304 says that it was not deleted.

    The 304 takes a read of the row, never of the file.
    """
    return {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition,
        "X-Content-Type-Options": "nosniff",
    }


def _filename(image: Image) -> str:
    """Returns a file name without any of the prompt, which could break a header."""
    suffix = image.path.rpartition(".")[2]
    return f"easel-{image.seed}-{image.position + 1}.{suffix}"


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
