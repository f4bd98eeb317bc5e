"""The routes under ``/api/v1/uploads``: files that inputs refer to."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Request
from fastapi.responses import Response

from api.dependencies import opened
from api.documents import answer
from api.errors import ProblemError
from api.headers import IfNoneMatch
from api.openapi import UNCHANGED, Omittable, problems
from api.ranges import Asked, file_response
from api.uploads.documents import URL, UploadDocument
from api.uploads.facade import UploadFacade
from api.uploads.form import FIELD
from core.uploads import parse_upload_id
from store.uploads.values import Upload

router = APIRouter(prefix=URL, tags=["uploads"])

_BINARY: Final = {"type": "string", "format": "binary"}
_CSV: Final = "frame,x,y\n1,12,40\n"
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "required": [FIELD],
    "additionalProperties": False,
    "properties": {FIELD: _BINARY},
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/octet-stream": {"schema": _BINARY},
            "text/csv": {"schema": {"type": "string"}, "example": _CSV},
        },
    },
    "parameters": [
        {
            "name": "filename",
            "in": "query",
            "required": False,
            "description": "The file's own name, for a raw body; a form says it itself. "
            "A long one is cut.",
            "schema": {"type": "string"},
        }
    ],
}
_FILE: Final[dict[str, Any]] = {"content": {"application/octet-stream": {}, "image/png": {}}}
_SHOWN: Final = frozenset({"image", "video", "audio"})
"""Kinds that browsers may show in place."""


def _upload_id(text: str) -> str:
    found = parse_upload_id(text)
    if found is None:
        raise ProblemError("not_found", "there is no upload with this id")
    return found


UploadId = Annotated[
    str,
    Path(
        description="An upload's id: the SHA-256 of the bytes as they were sent, in lowercase "
        "hexadecimal digits.",
        json_schema_extra={"pattern": "^[0-9a-f]{64}$"},
    ),
]


@router.post(
    "",
    status_code=201,
    summary="Bring a file",
    responses={
        201: {"model": UploadDocument, "description": "It is new, and kept."},
        200: {"model": UploadDocument, "description": "The same bytes are known already."},
        **problems(
            *("payload_too_large", "unsupported_media_type", "invalid_request"),
            *("disk_full", "not_available"),
        ),
    },
    openapi_extra=_BODY,
)
async def create(request: Request) -> Response:
    """As a form with the field `file`, or as a raw body: images, videos, sounds, 3D models, texts.

    An input takes it as `upload:<upload_id>`. The id is the SHA-256 of the bytes that are sent: a
    HEAD of it says whether they need be sent at all. Images are decoded, turned upright and kept
    as PNG without metadata (of an animation, the first image); everything else is kept as it came.
    """
    document, is_new = await opened(request, UploadFacade).receive(request)
    return answer(document, 201 if is_new else 200, {"Location": document.url})


@router.get(
    "/{upload_id}",
    summary="An upload's file",
    response_class=Response,
    responses={
        200: _FILE,
        206: {"description": "The part that was asked for", **_FILE},
        304: UNCHANGED,
        **problems("not_found", "upload_expired", "range_not_satisfiable", "not_available"),
    },
)
async def get(
    request: Request,
    upload_id: UploadId,
    range_: Annotated[
        Omittable[str],
        Header(alias="Range", description="One part of the file, as `bytes=0-1023`."),
    ] = None,
    if_none_match: IfNoneMatch = None,
    if_range: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """As it is kept. HEAD says whether it is there, and puts its expiry off, as GET does."""
    uploads = opened(request, UploadFacade)
    found = await uploads.get(_upload_id(upload_id))
    asked = Asked(range_, if_none_match, if_range)
    return await file_response(
        uploads.store.files, found.path, found.bytes, found.content_type, _headers(found), asked
    )


@router.delete(
    "/{upload_id}",
    status_code=204,
    summary="Remove an upload",
    responses=problems("not_found", "not_available"),
)
async def delete(request: Request, upload_id: UploadId) -> Response:
    """For good, also when generations refer to it: those that still wait fail, `upload_expired`.

    The same bytes can be sent again.
    """
    await opened(request, UploadFacade).remove(_upload_id(upload_id))
    return Response(status_code=204)


def _headers(upload: Upload) -> dict[str, str]:
    shown = "inline" if upload.kind in _SHOWN else "attachment"
    return {
        "ETag": f'"{upload.sha256}"',
        "Cache-Control": "private, no-cache",
        # Without the file's own name, which could break a header.
        "Content-Disposition": f'{shown}; filename="easel-{upload.id[:12]}.{upload.extension}"',
        "X-Content-Type-Options": "nosniff",
    }
