"""The pictures' bytes. An image never changes, so it may be cached for ever."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from fastapi.responses import Response

from api.errors import ProblemError
from api.generations.facade import FacadeOf
from api.headers import IfNoneMatch, is_unchanged
from api.ids import ImageId
from api.openapi import problems
from store.values import Image

router = APIRouter(prefix="/api/v1/images", tags=["images"])

_YEAR_S: Final = 31_536_000
_BYTES: Final[dict[str, Any]] = {"content": {"image/png": {}, "image/webp": {}}}


@router.get(
    "/{image_id}",
    summary="A picture",
    response_class=Response,
    responses={200: _BYTES, 206: _BYTES, 304: {}, **problems(404, 416)},
)
async def image(
    image_id: ImageId,
    facade: FacadeOf,
    range_: Annotated[
        str | None, Header(alias="Range", description="One part of the file, as `bytes=0-1023`.")
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The file as ComfyUI made it."""
    found = await facade.store.generations.image(image_id)
    headers = _headers(f'"{found.sha256}"', f'inline; filename="{_filename(found)}"')
    if is_unchanged(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    data = await facade.store.files.read(found.path)
    return _ranged(data, found.content_type, headers, range_)


@router.get(
    "/{image_id}/thumbnail",
    summary="A picture's thumbnail",
    response_class=Response,
    responses={200: _BYTES, 304: {}, **problems(404)},
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
    return {
        "ETag": etag,
        "Cache-Control": f"private, max-age={_YEAR_S}, immutable",
        "Content-Disposition": disposition,
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
    }


def _filename(image: Image) -> str:
    """A name of our own making: nothing of the prompt can break a header."""
    suffix = image.path.rpartition(".")[2]
    return f"easel-{image.seed}-{image.position + 1}.{suffix}"


def _ranged(
    data: bytes, content_type: str, headers: dict[str, str], wanted: str | None
) -> Response:
    """One range is honoured; several at once are answered with the whole (RFC 9110, 14.2)."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if found is None or found.groups() == ("", ""):
        return Response(data, media_type=content_type, headers=headers)
    first, last = found.groups()
    if first == "":
        start, end = max(0, len(data) - int(last[:18])), len(data) - 1
    else:
        start = int(first[:18])
        end = min(int(last[:18]) if last else len(data) - 1, len(data) - 1)
    if start > end or start >= len(data):
        raise ProblemError(
            "range_not_satisfiable",
            f"the image has {len(data)} bytes",
            headers={"Content-Range": f"bytes */{len(data)}"},
        )
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Response(data[start : end + 1], 206, headers, content_type)
