"""The routes under ``/api/v1/schedules``: batches that begin by the clock."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api.batches.documents import ScheduleDocument, SchedulesDocument
from api.body import read_body
from api.context import answer, context_of
from api.errors import ProblemError
from api.generations.routes import problems
from api.openapi import body_schema
from api.schedules.facade import ScheduleChange, ScheduleFacade, ScheduleRequest
from core.ids import parse_generation_id

router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"])


def _schedule_id(schedule_id: str) -> UUID:
    found = parse_generation_id(schedule_id)
    if found is None:
        raise ProblemError("not_found", "there is no schedule with this id")
    return found


ScheduleId = Annotated[str, Path(description="A schedule's id, as its create gave it.")]
_BODY: Final = "application/json"


def _schedules_of(request: Request) -> ScheduleFacade:
    return context_of(request).schedules


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    content = {_BODY: {"schema": body_schema(model)}}
    return {"requestBody": {"required": True, "content": content}}


@router.get("", summary="All schedules", response_model=SchedulesDocument, responses=problems(503))
async def page(request: Request) -> Response:
    """Those that were made here, and those of `prefect.yaml`. The Prefect UI shows the same."""
    return answer(await _schedules_of(request).all())


@router.post(
    "",
    status_code=201,
    summary="Begin a batch by the clock",
    response_model=ScheduleDocument,
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=_takes(ScheduleRequest),
)
async def create(request: Request) -> Response:
    """By cron or by interval. Its runs have fresh seeds unless the batch says one."""
    limit = context_of(request).settings.api.max_body_bytes
    wanted, _ = await read_body(request, ScheduleRequest, limit)
    made = await _schedules_of(request).create(wanted)
    return answer(made, 201, {"Location": made.url})


@router.get(
    "/{schedule_id}",
    summary="One schedule",
    response_model=ScheduleDocument,
    responses=problems(404, 503),
)
async def get(request: Request, schedule_id: ScheduleId) -> Response:
    """With its next times."""
    return answer(await _schedules_of(request).get(_schedule_id(schedule_id)))


@router.patch(
    "/{schedule_id}",
    summary="Change it",
    response_model=ScheduleDocument,
    responses=problems(400, 404, 413, 415, 422, 503),
    openapi_extra=_takes(ScheduleChange),
)
async def change(request: Request, schedule_id: ScheduleId) -> Response:
    """What is left out stays as it is. `{"active": false}` switches it off."""
    limit = context_of(request).settings.api.max_body_bytes
    wanted, _ = await read_body(request, ScheduleChange, limit)
    return answer(await _schedules_of(request).change(_schedule_id(schedule_id), wanted))


@router.delete(
    "/{schedule_id}", status_code=204, summary="Remove it", responses=problems(404, 409, 503)
)
async def delete(request: Request, schedule_id: ScheduleId) -> Response:
    """Batches that it began go on. One of `prefect.yaml` can only be switched off."""
    await _schedules_of(request).delete(_schedule_id(schedule_id))
    return Response(status_code=204)
