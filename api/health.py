"""Alive and ready: for people, for `easel doctor` and for whatever restarts processes."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api.context import Context, answer, context_of
from api.generations.routes import problems
from store.errors import StoreError

router = APIRouter(tags=["health"])


class HealthDocument(BaseModel):
    """The process answers."""

    status: str = "ok"


class PartDocument(BaseModel):
    """One thing that is needed."""

    name: str
    ok: bool
    detail: str


class ReadyDocument(BaseModel):
    """What is needed for pictures, each part named."""

    ready: bool
    parts: list[PartDocument] = Field(description="store, disk, prefect, worker, comfyui")


@router.get("/healthz", summary="Alive", response_model=HealthDocument, responses=problems())
async def healthz() -> Response:
    """The process answers; says nothing of what it needs."""
    return answer(HealthDocument())


@router.get(
    "/readyz",
    summary="Ready",
    response_model=ReadyDocument,
    responses={
        **problems(),
        503: {"model": ReadyDocument, "description": "Something is missing"},
    },
)
async def readyz(request: Request) -> Response:
    """Whether pictures can be made now. Creates need only the store, and room on the disk."""
    context = context_of(request)
    store, disk, prefect = await asyncio.gather(_store(context), _disk(context), _prefect(context))
    workers = await _workers(context) if store.ok else []
    parts = [store, disk, prefect, *workers]
    ready = all(part.ok for part in parts)
    return answer(ReadyDocument(ready=ready, parts=parts), 200 if ready else 503)


async def _store(context: Context) -> PartDocument:
    try:
        waiting = await context.facade.store.outbox.count()
    except StoreError as error:
        return PartDocument(name="store", ok=False, detail=str(error))
    return PartDocument(name="store", ok=True, detail=f"{waiting} to be dispatched")


async def _disk(context: Context) -> PartDocument:
    room = await context.facade.disk.room()
    if room is None:
        return PartDocument(name="disk", ok=True, detail="it does not say how much is free")
    return PartDocument(name="disk", ok=room.is_enough, detail=str(room))


async def _prefect(context: Context) -> PartDocument:
    url = context.settings.prefect_api_url
    ok = await context.runs.is_healthy()
    return PartDocument(name="prefect", ok=ok, detail=url if ok else f"{url} does not answer")


async def _workers(context: Context) -> list[PartDocument]:
    live = await context.facade.estimates.live_workers()
    if not live:
        missing = "none is running: start one with `easel worker`"
        return [PartDocument(name="worker", ok=False, detail=missing)]
    reached = [worker for worker in live if worker.comfy_reachable]
    shown = reached[0] if reached else live[0]
    return [
        PartDocument(name="worker", ok=True, detail=", ".join(worker.name for worker in live)),
        PartDocument(
            name="comfyui",
            ok=bool(reached),
            detail=shown.comfy_url if reached else f"{shown.comfy_url}: {shown.detail}",
        ),
    ]
