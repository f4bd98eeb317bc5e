"""The routes under ``/api/v1/schedules``: batches that begin by the clock."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api.body import read_body
from api.dependencies import opened
from api.documents import answer
from api.ids import ScheduleId
from api.openapi import body_schema, problems
from api.schedules.documents import ScheduleDocument, SchedulesDocument
from api.schedules.facade import ScheduleChange, ScheduleFacade, ScheduleRequest
from core.settings import Settings

router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"])

_BODY: Final = "application/json"


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    content = {_BODY: {"schema": body_schema(model)}}
    return {"requestBody": {"required": True, "content": content}}


@router.get(
    "",
    summary="All schedules",
    response_model=SchedulesDocument,
    responses=problems("not_available"),
)
async def page(request: Request) -> Response:
    """Those that were made here, and those of `prefect.yaml`. The Prefect UI shows the same."""
    return answer(await opened(request, ScheduleFacade).all())


@router.post(
    "",
    status_code=201,
    summary="Begin a batch by the clock",
    response_model=ScheduleDocument,
    responses=problems(
        *("malformed_json", "payload_too_large", "unsupported_media_type", "invalid_request"),
        *("invalid_manifest", "not_available", "no_catalogue"),
    ),
    openapi_extra=_takes(ScheduleRequest),
)
async def create(request: Request) -> Response:
    """By cron or by interval. Its runs have fresh seeds unless the batch says one."""
    limit = opened(request, Settings).api.max_body_bytes
    wanted, _ = await read_body(request, ScheduleRequest, limit)
    made = await opened(request, ScheduleFacade).create(wanted)
    return answer(made, 201, {"Location": made.url})


@router.get(
    "/{schedule_id:id}",
    summary="One schedule",
    response_model=ScheduleDocument,
    responses=problems("not_found", "not_available"),
)
async def get(request: Request, schedule_id: ScheduleId) -> Response:
    """With its next times."""
    return answer(await opened(request, ScheduleFacade).get(schedule_id))


@router.patch(
    "/{schedule_id:id}",
    summary="Change it",
    response_model=ScheduleDocument,
    responses=problems(
        *("malformed_json", "not_found", "schedule_in_file", "payload_too_large"),
        *("unsupported_media_type", "invalid_request", "invalid_manifest"),
        *("not_available", "no_catalogue"),
    ),
    openapi_extra=_takes(ScheduleChange),
)
async def change(request: Request, schedule_id: ScheduleId) -> Response:
    """What is left out stays as it is. `{"active": false}` switches it off."""
    limit = opened(request, Settings).api.max_body_bytes
    wanted, _ = await read_body(request, ScheduleChange, limit)
    return answer(await opened(request, ScheduleFacade).change(schedule_id, wanted))


@router.delete(
    "/{schedule_id:id}",
    status_code=204,
    summary="Remove it",
    responses=problems("not_found", "schedule_in_file", "not_available"),
)
async def delete(request: Request, schedule_id: ScheduleId) -> Response:
    """Batches that it began go on. One of `prefect.yaml` can only be switched off."""
    await opened(request, ScheduleFacade).delete(schedule_id)
    return Response(status_code=204)
