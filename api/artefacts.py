"""The artefacts' bytes. They never change, but may be deleted: browsers ask each time.

What browsers execute (SVG, HTML, JavaScript) is sent as a download of plain bytes only; every
response of the API is sandboxed besides (``security_headers.py``).
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from fastapi.responses import Response

from api.generations.facade import Facade, FacadeOf
from api.headers import IfNoneMatch, is_unchanged
from api.ids import ArtefactId, ImageId
from api.openapi import UNCHANGED, Omittable, problems
from api.ranges import Asked, file_response
from core.artefacts import is_shown, served_type
from store.errors import NotFoundError
from store.values import Artefact

router = APIRouter(prefix="/api/v1", tags=["artefacts"])

_POSTER: Final[dict[str, Any]] = {"content": {"image/webp": {}}}
_PICTURE: Final[dict[str, Any]] = {"content": {"image/png": {}, "image/webp": {}}}
_BYTES: Final[dict[str, Any]] = {
    "content": {"image/png": {}, "video/mp4": {}, "application/octet-stream": {}}
}
RangeHeader = Annotated[
    Omittable[str],
    Header(alias="Range", description="One part of the file, as `bytes=0-1023`."),
]
IfRange = Annotated[str | None, Header(include_in_schema=False)]


def _file_responses(content: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {
        200: content,
        206: {"description": "The part that was asked for", **content},
        304: UNCHANGED,
        **problems("not_found", "range_not_satisfiable", "not_available"),
    }


def _poster_responses() -> dict[int | str, dict[str, Any]]:
    return {200: _POSTER, 304: UNCHANGED, **problems("not_found", "not_available")}


@router.get(
    "/artefacts/{artefact_id:id}",
    summary="An artefact",
    response_class=Response,
    responses=_file_responses(_BYTES),
)
async def artefact(
    artefact_id: ArtefactId,
    facade: FacadeOf,
    range_: RangeHeader = None,
    if_none_match: IfNoneMatch = None,
    if_range: IfRange = None,
) -> Response:
    """The file as ComfyUI made it; players may ask for parts of it.

    SVG, HTML and whatever else browsers would execute comes as a download of
    `application/octet-stream`.
    """
    found = await facade.store.generations.artefact(artefact_id)
    return await _sent(facade, found, range_, if_none_match, if_range)


@router.get(
    "/artefacts/{artefact_id:id}/poster",
    summary="An artefact's poster",
    response_class=Response,
    responses=_poster_responses(),
)
async def poster(
    artefact_id: ArtefactId, facade: FacadeOf, if_none_match: IfNoneMatch = None
) -> Response:
    """WebP, 384 pixels at its longer side: a picture in small, a video's first frame, a waveform.

    404 where there is none: for texts, 3D models and other files, and without `easel[video]`.
    """
    found = await facade.store.generations.artefact(artefact_id)
    return await _poster_sent(facade, found, if_none_match)


@router.get(
    "/images/{image_id:id}",
    summary="An image",
    tags=["images"],
    response_class=Response,
    responses=_file_responses(_PICTURE),
)
async def image(
    image_id: ImageId,
    facade: FacadeOf,
    range_: RangeHeader = None,
    if_none_match: IfNoneMatch = None,
    if_range: IfRange = None,
) -> Response:
    """The artefact with this id, if it is an image."""
    found = await _image(facade, image_id)
    return await _sent(facade, found, range_, if_none_match, if_range)


@router.get(
    "/images/{image_id:id}/thumbnail",
    summary="An image's thumbnail",
    tags=["images"],
    response_class=Response,
    responses=_poster_responses(),
)
async def thumbnail(
    image_id: ImageId, facade: FacadeOf, if_none_match: IfNoneMatch = None
) -> Response:
    """The poster of the artefact with this id, if it is an image."""
    return await _poster_sent(facade, await _image(facade, image_id), if_none_match)


async def _image(facade: Facade, image_id: ImageId) -> Artefact:
    found = await facade.store.generations.artefact(image_id)
    if found.kind != "image":
        raise NotFoundError(f"no image {image_id}")
    return found


async def _sent(
    facade: Facade,
    found: Artefact,
    range_: str | None,
    if_none_match: str | None,
    if_range: str | None,
) -> Response:
    shown = "inline" if is_shown(found.content_type) else "attachment"
    headers = _headers(f'"{found.sha256}"', f'{shown}; filename="{file_name(found)}"')
    asked = Asked(range_, if_none_match, if_range)
    served = served_type(found.content_type)
    return await file_response(facade.store.files, found.path, found.bytes, served, headers, asked)


async def _poster_sent(facade: Facade, found: Artefact, if_none_match: str | None) -> Response:
    if found.poster_path is None:
        raise NotFoundError(f"no poster of artefact {found.id}")
    headers = _headers(f'"{found.sha256}-thumbnail"', "inline")
    if is_unchanged(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    data = await facade.store.files.read(found.poster_path)
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


def file_name(artefact: Artefact) -> str:
    """Returns a file name without any of the prompt, which could break a header."""
    suffix = artefact.path.rpartition(".")[2]
    of = artefact.seed if artefact.seed is not None else artefact.generation_id.hex[:8]
    return f"easel-{of}-{artefact.position + 1}.{suffix}"
