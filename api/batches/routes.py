"""The routes under ``/api/v1/batches``."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api.batches.documents import (
    AcceptedBatchDocument,
    BatchDocument,
    BatchesDocument,
    BatchItemsDocument,
    PlanDocument,
)
from api.batches.facade import BatchFacade
from api.batches.manifest_body import Flags, manifest_of
from api.dependencies import opened
from api.documents import answer
from api.generations.facade import RETRY_AFTER_S
from api.headers import IdempotencyHeader, IfNoneMatch, idempotency_key_of, is_unchanged
from api.ids import BatchId
from api.openapi import UNCHANGED, Omittable, body_schema, problems, query_parameters
from api.pages import PageQuery
from core.batches.request import BATCH_ITEMS_MAX, BatchRequest, FileOptions
from core.settings import Settings
from core.status import Status
from store.generations.acceptance import IdempotencyKey

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])

_CSV: Final = "prompt,steps,count\na red fox at dawn,20,2\na {barn|snowy} owl,,1\n"
_JSONL: Final = '{"prompt": "a red fox at dawn", "steps": 20, "count": 2}\n'
_CREATE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": body_schema(BatchRequest)},
            "text/csv": {"schema": {"type": "string"}, "example": _CSV},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": _JSONL},
        },
    },
    "parameters": query_parameters(Flags, FileOptions),
}


class ItemsQuery(PageQuery):
    """Which items."""

    status: Omittable[list[Status]] = Field(default=None, description="May be repeated.")


class SheetQuery(BaseModel):
    """Which sheet."""

    model_config = ConfigDict(extra="forbid")

    sheet: int = Field(
        default=1,
        ge=1,
        le=BATCH_ITEMS_MAX,
        description="From 1; a hundred images on each, or one row of the manifest with its grid.",
    )


@router.post(
    "",
    status_code=202,
    summary="Generate many images",
    responses={
        202: {"model": AcceptedBatchDocument, "description": "Accepted: stored, and will be done."},
        200: {"model": PlanDocument, "description": "With `dry_run=true`: what it would generate."},
        **problems(
            *("malformed_json", "idempotency_in_flight", "payload_too_large"),
            *("unsupported_media_type", "invalid_request", "invalid_manifest"),
            *("idempotency_mismatch", "not_available", "disk_full", "no_catalogue"),
        ),
    },
    openapi_extra=_CREATE_BODY,
)
async def create(
    request: Request,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Rows times grid times count. As JSON; or a CSV or JSON Lines file, streamed to the disk.

    For a file, every option of the JSON form that is not about rows is a query parameter
    (`?name=animals&max_in_flight=4`). `dry_run=true` says what would be made and creates nothing;
    `skip_bad=true` leaves out rows that cannot be made instead of refusing all of them.
    """
    batches = opened(request, BatchFacade)
    limit = opened(request, Settings).api.max_manifest_bytes
    key = idempotency_key_of(idempotency_key)
    async with manifest_of(request, limit) as body:
        if body.flags.dry_run:
            return answer(await batches.plan(body.manifest))
        known = IdempotencyKey(key, body.sha256) if key is not None else None
        created = await batches.create(body.manifest, key=known)
    headers = {"Location": created.document.urls.self, "Retry-After": str(RETRY_AFTER_S)}
    if created.replayed:
        headers["Idempotency-Replayed"] = "true"
    return answer(created.document, 202, headers)


@router.get(
    "",
    summary="All batches",
    response_model=BatchesDocument,
    responses=problems("invalid_cursor", "invalid_request", "not_available"),
)
async def page(request: Request, query: Annotated[PageQuery, Query()]) -> Response:
    """Newest first."""
    return answer(await opened(request, BatchFacade).page(query.limit, query.cursor))


@router.get(
    "/{batch_id:id}",
    summary="How it goes",
    response_model=BatchDocument,
    responses=problems("not_found", "not_available"),
)
async def status(request: Request, batch_id: BatchId) -> Response:
    """Counts by status, rate, time to go, GPU seconds spent."""
    return answer(await opened(request, BatchFacade).status(batch_id))


@router.get(
    "/{batch_id:id}/items",
    summary="Its items with their generations",
    response_model=BatchItemsDocument,
    responses=problems("invalid_cursor", "not_found", "invalid_request", "not_available"),
)
async def items(
    request: Request, batch_id: BatchId, query: Annotated[ItemsQuery, Query()]
) -> Response:
    """In the manifest's order; those that are not begun yet have no `generation`."""
    wanted = tuple(query.status or ())
    found = await opened(request, BatchFacade).items(batch_id, query.limit, query.cursor, wanted)
    return answer(found)


def _change(name: str, summary: str, description: str, *, refused: str = "already_ended") -> None:
    """Declare a route that changes a batch: ``/{batch_id}/cancel`` and its like.

    ``refused`` is the code of the answer when the batch is not in a state for it.
    """

    async def change(request: Request, batch_id: BatchId) -> Response:
        method = getattr(opened(request, BatchFacade), name.replace("-", "_"))
        return answer(await method(batch_id), 202)

    change.__doc__ = description
    router.post(
        f"/{{batch_id:id}}/{name}",
        status_code=202,
        summary=summary,
        response_model=BatchDocument,
        responses=problems("not_found", refused, "not_available"),
        name=f"{name} batch",
    )(change)


_change("cancel", "Cancel it", "Start nothing more, and cancel what is in progress.")
_change("pause", "Pause it", "Start nothing more for now; what is in progress continues.")
_change("resume", "Go on", "After a pause, or after the end of its window.")
_change(
    "retry-failed",
    "Generate what is missing",
    "What failed, was cancelled or never started; only after the batch failed or was cancelled.",
    refused="not_retryable",
)


@router.get(
    "/{batch_id:id}/results.zip",
    summary="All images",
    responses={
        200: {"content": {"application/zip": {}}},
        **problems("not_found", "not_available"),
    },
    response_class=Response,
)
async def results(request: Request, batch_id: BatchId) -> Response:
    """Finished pictures in one ZIP, with `results.jsonl`: what each was made from and became."""
    name, stream = await opened(request, BatchFacade).results(batch_id)
    return StreamingResponse(
        stream,
        media_type="application/zip",
        headers={
            "Content-Disposition": _disposition("attachment", name),
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        },
    )


@router.get(
    "/{batch_id:id}/contact-sheet",
    summary="Its images at a glance",
    responses={
        200: {"content": {"image/jpeg": {}}},
        304: UNCHANGED,
        **problems("not_found", "invalid_request", "not_available"),
    },
    response_class=Response,
)
async def contact_sheet(
    request: Request,
    batch_id: BatchId,
    query: Annotated[SheetQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The first image of each finished item, small, with its number.

    Of a batch with a grid: one row of the manifest in tables, with the values of the axes as the
    labels of their rows and columns; each row has a sheet.
    """
    found = await opened(request, BatchFacade).contact_sheet(batch_id, query.sheet)
    sheet = found.sheet
    headers = {
        "ETag": sheet.etag,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": _disposition("inline", found.file_name),
    }
    if is_unchanged(sheet.etag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(await sheet.draw(), media_type="image/jpeg", headers=headers)


def _disposition(kind: Literal["attachment", "inline"], name: str) -> str:
    """Returns the header for any client (RFC 6266): plain for old ones, in UTF-8 for others."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
