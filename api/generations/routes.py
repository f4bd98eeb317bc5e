"""The routes under ``/api/v1/generation``."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError, to_json

from api.body import read_body
from api.dependencies import opened
from api.documents import answer
from api.errors import ProblemError
from api.generations.documents import (
    AttemptsDocument,
    HistoryDocument,
    ResultDocument,
    StatusDocument,
)
from api.generations.facade import RETRY_AFTER_S, Busy, Facade, FacadeOf, KeptAnswer
from api.headers import IfNoneMatch, idempotency_key_of, is_unchanged
from api.ids import TaskId
from api.openapi import problems
from api.preferences import Prefer, wait_of
from comfy.messages import PREVIEW_TYPES
from core.problems import FieldProblem
from core.requests import GenerationRequest
from core.settings import Settings
from core.status import Status, is_final
from store.errors import NotFoundError
from store.values import HistoryFilter

router = APIRouter(prefix="/api/v1/generation", tags=["generations"])

_LOST_PLUS: Final = re.compile(r"[T ][0-9:.]+ [0-9]{2}:?[0-9]{0,2}$")
_CREATE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": GenerationRequest.model_json_schema()}},
    }
}


@router.post(
    "/create",
    status_code=202,
    summary="Generate images",
    responses={
        202: {"model": StatusDocument, "description": "Accepted: it is stored and will be done."},
        200: {"model": StatusDocument, "description": "It ended within `Prefer: wait`."},
        **problems(400, 409, 413, 415, 422, 503),
    },
    openapi_extra=_CREATE_BODY,
)
async def create(
    request: Request,
    prefer: Prefer = None,
    idempotency_key: Annotated[
        str | None,
        Header(description="Repeating a create with the same key and body gives the first answer."),
    ] = None,
) -> Response:
    """Accept a request for pictures. A 202 means that it is on disk: it cannot be lost any more."""
    facade, busy = opened(request, Facade), opened(request, Busy)
    limit = opened(request, Settings).api.max_body_bytes
    body, raw = await read_body(request, GenerationRequest, limit)
    key = idempotency_key_of(idempotency_key)
    busy.creates += 1  # not before the body is there: a slow client would hold up the dispatcher
    try:
        created = (
            await facade.create_once(body, key, raw)
            if key is not None
            else await facade.create(body)
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
    responses={304: {"description": "Unchanged"}, **problems(404, 410)},
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
    summary="The images",
    response_model=ResultDocument,
    responses=problems(404, 409, 410),
)
async def result(task_id: TaskId, facade: FacadeOf) -> Response:
    """The pictures when it succeeded; 409 `not_ready` while it runs, 409 with the error else.

    410 `pictures_expired` when the pictures were removed because of their age.
    """
    return answer(await facade.result(task_id))


def _with_its_plus(text: Any) -> Any:
    """Refuses a moment such as 2026-01-31T12:00:00 02:00: in a query a + means a blank."""
    if isinstance(text, str) and _LOST_PLUS.search(text):
        raise PydanticCustomError("lost_plus", "a + in a URL must be written %2B")
    return text


Moment = Annotated[datetime, BeforeValidator(_with_its_plus)]


class HistoryQuery(BaseModel):
    """What to look for. A name that is not here is refused: a misspelt filter shows everything."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=20, ge=1, le=100, description="Items on a page.")
    cursor: str | None = Field(
        default=None,
        max_length=100,
        description="`next_cursor` of the page before, or `previous_cursor` of the one after.",
    )
    status: list[Status] | None = Field(default=None, description="May be repeated.")
    model: str | None = Field(default=None, max_length=255, description="A checkpoint's name.")
    q: str | None = Field(
        default=None,
        max_length=500,
        description="Words in any order, each the beginning of one in the prompt, negative prompt, "
        'model, seed or batch name; `-word` excludes, `"words in this order"` finds a phrase.',
    )
    created_after: Moment | None = Field(
        default=None, description="A moment with its time zone; itself included."
    )
    created_before: Moment | None = Field(
        default=None, description="A moment with its time zone; itself not included."
    )
    batch_id: UUID | None = Field(default=None, description="A batch's id.")


@router.get(
    "/history",
    summary="Find them again",
    response_model=HistoryDocument,
    responses=problems(400, 422),
)
async def history(
    facade: FacadeOf,
    query: Annotated[HistoryQuery, Query()],
) -> Response:
    """Every generation that was not deleted, newest first."""
    wanted = HistoryFilter(
        status=tuple(query.status or ()),
        model=_text("model", query.model),
        q=_text("q", query.q),
        created_after=_moment("created_after", query.created_after),
        created_before=_moment("created_before", query.created_before),
        batch_id=query.batch_id,
    )
    if (
        wanted.created_after is not None
        and wanted.created_before is not None
        and wanted.created_after > wanted.created_before
    ):
        raise _bad_query("created_after", "range", "must not be later than created_before")
    return answer(await facade.history(wanted, query.limit, query.cursor))


@router.delete(
    "/{task_id:id}", status_code=204, summary="Delete it for good", responses=problems(404, 503)
)
async def delete(task_id: TaskId, facade: FacadeOf) -> Response:
    """Cancels it if it still runs, then removes pictures and content. It answers 410 ever after.

    Soon after, its prompts leave ComfyUI's history and its flow runs Prefect. ComfyUI's own copy of
    a picture stays: ComfyUI has no request that removes it.
    """
    await facade.delete(task_id)
    return Response(status_code=204)


@router.post(
    "/{task_id:id}/cancel",
    status_code=202,
    summary="Cancel it",
    response_model=StatusDocument,
    responses=problems(404, 409, 410),
)
async def cancel(task_id: TaskId, facade: FacadeOf) -> Response:
    """Ask for its end; repeating that is fine while it is under way. 409 when it has ended."""
    return answer(await facade.cancel(task_id), 202)


@router.post(
    "/{task_id:id}/retry",
    status_code=202,
    summary="Try it again",
    response_model=StatusDocument,
    responses=problems(404, 409, 410),
)
async def retry(task_id: TaskId, facade: FacadeOf) -> Response:
    """A new attempt at the same request, with the same seed. Only after failed or cancelled."""
    return answer(await facade.retry(task_id), 202)


@router.get(
    "/{task_id:id}/attempts",
    summary="Every try",
    response_model=AttemptsDocument,
    responses=problems(404, 410),
)
async def attempts(task_id: TaskId, facade: FacadeOf) -> Response:
    """Each attempt with its flow run, times, outcome and error."""
    return answer(await facade.attempts(task_id))


@router.get(
    "/{task_id:id}/preview",
    summary="The newest live preview",
    responses={
        200: {"content": {"image/jpeg": {}}},
        204: {"description": "The preview with that number is gone, and there are no images"},
        307: {"description": "The preview with that number is gone: to the finished image"},
        **problems(404, 410),
    },
    response_class=Response,
)
async def preview(
    task_id: TaskId,
    facade: FacadeOf,
    number: Annotated[
        int | None, Query(description="As in the URL of a status document or an event.")
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


async def _in_place_of_preview(facade: Facade, task_id: UUID) -> Response:
    images = await facade.images(task_id)
    headers = {"Cache-Control": "no-store"}
    if not images:
        return Response(status_code=204, headers=headers)
    url = urlsplit(images[0].thumbnail_url).path  # under whatever name the client came by
    return RedirectResponse(url, 307, headers)


def _text(name: str, value: str | None) -> str | None:
    if value is not None and ("\x00" in value or "\ufffd" in value):
        raise ProblemError("bad_request", f"{name} must be text in UTF-8 without NUL")
    return value


def _moment(name: str, value: datetime | None) -> datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise _bad_query(name, "timezone", "must say its time zone, such as 2026-01-31T12:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise _bad_query(name, "range", "must be within the years 1 to 9999 in UTC") from error


def _bad_query(name: str, code: str, message: str) -> ProblemError:
    return ProblemError(
        "invalid_request",
        f"query.{name}: {message}",
        errors=[FieldProblem(("query", name), code, message)],
    )
