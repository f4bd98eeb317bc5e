"""The route ``/api/v1/workers``."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.dependencies import opened
from api.documents import answer
from api.openapi import problems
from api.workers.documents import WorkersDocument
from api.workers.facade import WorkerFacade

router = APIRouter(prefix="/api/v1/workers", tags=["health"])


@router.get(
    "",
    summary="Workers",
    response_model=WorkersDocument,
    responses=problems("not_available"),
)
async def workers(request: Request) -> Response:
    """Every registered worker, whether it runs or not, and how busy it is. One that was stopped
    stays registered for a week: what only its ComfyUI can do waits for it."""
    return answer(await opened(request, WorkerFacade).all())
