"""The routes under ``/api/v1/deliveries``."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from api.deliveries.documents import DeliveriesDocument, DeliveryDocument
from api.deliveries.facade import DeliveryFacade
from api.dependencies import opened
from api.documents import answer
from api.ids import DeliveryId
from api.openapi import Omittable, problems
from api.pages import PageQuery
from store.callbacks.values import DeliveryState

router = APIRouter(prefix="/api/v1/deliveries", tags=["deliveries"])


class DeliveriesQuery(PageQuery):
    """Which deliveries."""

    task_id: Omittable[UUID] = Field(default=None, description="A generation's id.")
    batch_id: Omittable[UUID] = Field(
        default=None, description="A batch's id: its own deliveries and those of its generations."
    )
    state: Omittable[DeliveryState] = Field(default=None, description="How they stand.")


@router.get(
    "",
    summary="What was sent to callbacks",
    response_model=DeliveriesDocument,
    responses=problems("invalid_cursor", "invalid_request", "not_available"),
)
async def page(request: Request, query: Annotated[DeliveriesQuery, Query()]) -> Response:
    """Newest first, each with its tries. A deleted generation's are gone with it."""
    found = await opened(request, DeliveryFacade).page(
        query.limit,
        query.cursor,
        task_id=query.task_id,
        batch_id=query.batch_id,
        state=query.state,
    )
    return answer(found)


@router.get(
    "/{delivery_id:id}",
    summary="One of them",
    response_model=DeliveryDocument,
    responses=problems("not_found", "not_available"),
)
async def get(request: Request, delivery_id: DeliveryId) -> Response:
    """With every try: its status, how long it took, and how the answer begins."""
    return answer(await opened(request, DeliveryFacade).get(delivery_id))


@router.post(
    "/{delivery_id:id}/redeliver",
    status_code=202,
    summary="Send it again",
    response_model=DeliveryDocument,
    responses=problems("not_found", "not_available"),
)
async def redeliver(request: Request, delivery_id: DeliveryId) -> Response:
    """Now, with the same `webhook-id` and body, and then by the schedule from its beginning.

    One that waits for its next try is tried now.
    """
    return answer(await opened(request, DeliveryFacade).redeliver(delivery_id), 202)
