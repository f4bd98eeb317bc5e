"""The routes under ``/api/v1/generation``."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import Field
from pydantic_core import to_json

from api.body import read_object
from api.dependencies import opened
from api.documents import answer
from api.errors import ProblemError
from api.generations.bodies import create_schema
from api.generations.documents import (
    AttemptsDocument,
    HistoryDocument,
    ResultDocument,
    StatusDocument,
)
from api.generations.facade import RETRY_AFTER_S, Busy, Facade, FacadeOf, KeptAnswer
from api.generations.rendered import sent
from api.headers import IdempotencyHeader, IfNoneMatch, idempotency_key_of, is_unchanged
from api.ids import TaskId
from api.moments import Moment
from api.openapi import UNCHANGED, Omittable, problems
from api.pages import PageQuery
from api.preferences import Prefer, wait_of
from comfy.messages import PREVIEW_TYPES
from core.artefacts import ArtefactKind
from core.problems import FieldProblem
from core.settings import Settings
from core.status import Status, is_final
from store.errors import NotFoundError
from store.values import HistoryFilter, main_of

router = APIRouter(prefix="/api/v1/generation", tags=["generations"])

_CREATE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": create_schema()}},
    }
}


@router.post(
    "/create",
    status_code=202,
    summary="Generate images",
    responses={
        202: {"model": StatusDocument, "description": "Accepted: it is stored and will be done."},
        200: {"model": StatusDocument, "description": "It ended within `Prefer: wait`."},
        **problems(
            *("malformed_json", "idempotency_in_flight", "deleted", "payload_too_large"),
            *("unsupported_media_type", "invalid_request", "idempotency_mismatch"),
            "paid_nodes",
            *("not_available", "disk_full", "no_catalogue"),
        ),
    },
    openapi_extra=_CREATE_BODY,
)
async def create(
    request: Request,
    prefer: Prefer = None,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Accept a request for pictures. A 202 means that it is on disk: it cannot be lost any more."""
    facade, busy = opened(request, Facade), opened(request, Busy)
    limit = opened(request, Settings).api.max_body_bytes
    fields, raw = await read_object(request, limit)
    key = idempotency_key_of(idempotency_key)
    busy.creates += 1  # not before the body is there: a slow client would hold up the dispatcher
    try:
        created: StatusDocument | KeptAnswer = (
            await facade.create_once(fields, key, raw)
            if key is not None
            else await facade.create_of(fields)
        )
    finally:
        busy.creates -= 1
    headers = {"Location": facade.links.status(created.task_id)}
    if isinstance(created, KeptAnswer) and created.replayed:
        headers["Idempotency-Replayed"] = "true"
    wait_s = wait_of(prefer)
    if wait_s is not None:
        headers["Preference-Applied"] = f"wait={wait_s}"
        created = await facade.wait(created.task_id, wait_s)
        if is_final(created.status):
            return answer(created, 200, headers)
    headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(created, KeptAnswer):
        return Response(to_json(created.body), 202, headers, "application/json")
    return answer(created, 202, headers)


@router.get(
    "/status/{task_id:id}",
    summary="How it goes",
    response_model=StatusDocument,
    responses={304: UNCHANGED, **problems("not_found", "deleted", "not_available")},
)
async def status(
    task_id: TaskId,
    facade: FacadeOf,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The generation as it is now. Poll it with `If-None-Match`, or follow its events."""
    document = await facade.status(task_id)
    body = document.model_dump_json()
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if is_unchanged(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    if not is_final(document.status):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return Response(body, media_type="application/json", headers=headers)


@router.get(
    "/result/{task_id:id}",
    summary="The outputs",
    response_model=ResultDocument,
    responses=problems(
        *("not_found", "not_ready", "generation_failed", "generation_cancelled", "deleted"),
        *("pictures_expired", "not_available"),
    ),
)
async def result(task_id: TaskId, facade: FacadeOf) -> Response:
    """The outputs when it succeeded; 409 `not_ready` while it runs, 409 with the error else.

    410 `pictures_expired` when they were removed because of their age.
    """
    return answer(await facade.result(task_id))


class HistoryQuery(PageQuery):
    """What to look for."""

    status: Omittable[list[Status]] = Field(default=None, description="May be repeated.")
    workflow: Omittable[Annotated[str, Field(max_length=64)]] = Field(
        default=None, description="A workflow's name."
    )
    model: Omittable[Annotated[str, Field(max_length=255)]] = Field(
        default=None, description="A checkpoint's name."
    )
    q: Omittable[Annotated[str, Field(max_length=500)]] = Field(
        default=None,
        description="Words in any order, each the beginning of one in the prompt, negative prompt, "
        'model, seed or batch name; `-word` excludes, `"words in this order"` finds a phrase.',
    )
    created_after: Omittable[Moment] = Field(
        default=None, description="A moment with its time zone; itself included."
    )
    created_before: Omittable[Moment] = Field(
        default=None, description="A moment with its time zone; itself not included."
    )
    batch_id: Omittable[UUID] = Field(default=None, description="A batch's id.")
    kind: Omittable[list[ArtefactKind]] = Field(
        default=None, description="Of an output: only generations that have one. May be repeated."
    )


@router.get(
    "/history",
    summary="Find them again",
    response_model=HistoryDocument,
    responses=problems("invalid_cursor", "invalid_request", "not_available"),
)
async def history(
    facade: FacadeOf,
    query: Annotated[HistoryQuery, Query()],
) -> Response:
    """Every generation that was not deleted, newest first."""
    wanted = HistoryFilter(
        status=tuple(query.status or ()),
        workflow=_text("workflow", query.workflow),
        model=_text("model", query.model),
        q=_text("q", query.q),
        created_after=query.created_after,
        created_before=query.created_before,
        batch_id=query.batch_id,
        kind=tuple(query.kind or ()),
    )
    if (
        wanted.created_after is not None
        and wanted.created_before is not None
        and wanted.created_after > wanted.created_before
    ):
        raise _bad_query("created_after", "range", "must not be later than created_before")
    return answer(await facade.history(wanted, query.limit, query.cursor))


@router.delete(
    "/{task_id:id}",
    status_code=204,
    summary="Delete it for good",
    responses=problems("not_found", "not_available"),
)
async def delete(task_id: TaskId, facade: FacadeOf) -> Response:
    """Cancels it if it still runs, then removes artefacts and content. It answers 410 ever after.

    Soon after, its prompts leave ComfyUI's history and its flow runs Prefect. ComfyUI's own copy of
    a file stays: ComfyUI has no request that removes it.
    """
    await facade.delete(task_id)
    return Response(status_code=204)


@router.post(
    "/{task_id:id}/cancel",
    status_code=202,
    summary="Cancel it",
    response_model=StatusDocument,
    responses=problems("not_found", "already_ended", "deleted", "not_available"),
)
async def cancel(task_id: TaskId, facade: FacadeOf) -> Response:
    """Ask for its end; repeating that is fine while it is under way. 409 when it has ended."""
    return answer(await facade.cancel(task_id), 202)


@router.post(
    "/{task_id:id}/retry",
    status_code=202,
    summary="Try it again",
    response_model=StatusDocument,
    responses=problems("not_found", "not_retryable", "deleted", "not_available"),
)
async def retry(task_id: TaskId, facade: FacadeOf) -> Response:
    """A new attempt at the same request, with the same seed. Only after failed or cancelled."""
    return answer(await facade.retry(task_id), 202)


@router.get(
    "/{task_id:id}/attempts",
    summary="Every try",
    response_model=AttemptsDocument,
    responses=problems("not_found", "deleted", "not_available"),
)
async def attempts(task_id: TaskId, facade: FacadeOf) -> Response:
    """Each attempt with its flow run, times, outcome and error."""
    return answer(await facade.attempts(task_id))


@router.get(
    "/{task_id:id}/preview",
    summary="The newest live preview",
    responses={
        200: {"content": {"image/jpeg": {}}},
        204: {"description": "The preview with that number is gone, and there is no poster"},
        307: {"description": "The preview with that number is gone: to the poster"},
        **problems("not_found", "deleted", "invalid_request", "not_available"),
    },
    response_class=Response,
)
async def preview(
    task_id: TaskId,
    facade: FacadeOf,
    number: Annotated[
        Omittable[int],
        Query(description="As in the URL of a status document or an event."),
    ] = None,
) -> Response:
    """What the picture looks like so far. 404 before the first preview and after the end.

    With ``number``, a preview that was announced and is gone since is no error.
    """
    generation = await facade.store.generations.get(task_id)
    try:
        found = await facade.store.generations.preview(task_id)
    except NotFoundError:
        if number is None or not is_final(generation.status):
            raise
        return await _in_place_of_preview(facade, task_id)
    if found.content_type not in PREVIEW_TYPES:  # earlier versions kept what ComfyUI said
        raise ProblemError("not_found", "the preview is of a kind that is not shown")
    return Response(
        found.data,
        media_type=found.content_type,
        headers={"Cache-Control": "no-store"},
    )


@router.get(
    "/{task_id:id}/rendered/{number}",
    summary="An output before it is kept",
    responses={
        200: {"content": {"image/png": {}, "video/mp4": {}, "application/octet-stream": {}}},
        307: {"description": "It is kept: to the artefact"},
        **problems(
            *("not_found", "not_rendered", "deleted", "invalid_request", "comfyui_away"),
            "not_available",
        ),
    },
    response_class=Response,
)
async def rendered(
    task_id: TaskId,
    facade: FacadeOf,
    number: Annotated[int, Path(description="As its event says, from 1.", ge=1, le=10_000)],
) -> Response:
    """What ComfyUI has finished, right when it has; an event `rendered` tells of it.

    It may vanish: an attempt that is lost before its outputs are kept renders again. 404
    `not_rendered` when it is not there, yet or any more.
    """
    generation = await facade.store.generations.get(task_id)
    kept = await facade.kept_of_rendered(generation, number)
    if kept is None:
        try:
            return sent(await facade.renderings.opened(generation, number), generation, number)
        except ProblemError:  # it may have been kept meanwhile, and be gone from ComfyUI
            generation = await facade.store.generations.get(task_id)
            kept = await facade.kept_of_rendered(generation, number)
            if kept is None:
                raise
    url = urlsplit(facade.links.artefact(kept.id)).path  # by the client's own host name
    return RedirectResponse(url, 307, {"Cache-Control": "no-store"})


async def _in_place_of_preview(facade: Facade, task_id: UUID) -> Response:
    kept = (await facade.artefacts_of([task_id]))[task_id]
    headers = {"Cache-Control": "no-store"}
    main = main_of(kept)
    poster = facade.links.poster(main) if main is not None else None
    if poster is None:
        return Response(status_code=204, headers=headers)
    return RedirectResponse(urlsplit(poster).path, 307, headers)  # by the client's own host name


def _text(name: str, value: str | None) -> str | None:
    if value is not None and ("\x00" in value or "\ufffd" in value):
        raise ProblemError("bad_request", f"{name} must be text in UTF-8 without NUL")
    return value


def _bad_query(name: str, code: str, message: str) -> ProblemError:
    return ProblemError(
        "invalid_request",
        f"query.{name}: {message}",
        errors=[FieldProblem(("query", name), code, message)],
    )
