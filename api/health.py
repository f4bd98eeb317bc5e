"""Liveness and readiness: for people, for `easel doctor` and for process supervisors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api.dependencies import opened
from api.documents import answer
from api.generations.facade import Facade
from api.openapi import problems
from core.settings import Settings
from core.urls import without_userinfo
from flows.errors import FlowsError, OtherStoreError
from flows.prefect.runs import FlowRuns
from store.errors import StoreError
from store.generations.dispatches import KINDS
from store.values import WorkerRecord, foreign_runs

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
    parts: list[PartDocument] = Field(
        description="store, disk, storage, prefect, pool, worker, comfyui, foreign_runs"
    )


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
    facade = opened(request, Facade)
    runs, settings = opened(request, FlowRuns), opened(request, Settings)
    store, disk, storage, prefect, pool = await asyncio.gather(
        _store(facade),
        _disk(facade),
        _storage(facade),
        _prefect(runs, settings.prefect_api_url),
        _pool(runs),
    )
    workers = await _workers(facade) if store.ok else []
    parts = [store, disk, *storage, prefect, *pool, *workers]
    ready = all(part.ok for part in parts)
    return answer(ReadyDocument(ready=ready, parts=parts), 200 if ready else 503)


async def _store(facade: Facade) -> PartDocument:
    try:
        waiting = await facade.store.outbox.count(KINDS)
    except StoreError as error:
        return PartDocument(name="store", ok=False, detail=str(error))
    return PartDocument(name="store", ok=True, detail=f"{waiting} to be dispatched")


async def _disk(facade: Facade) -> PartDocument:
    room = await facade.disk.room()
    if room is None:
        return PartDocument(name="disk", ok=True, detail="it does not say how much is free")
    return PartDocument(name="disk", ok=room.is_enough, detail=str(room))


async def _storage(facade: Facade) -> list[PartDocument]:
    """The object store of the pictures; a local folder is on the disk that is a part already."""
    place = facade.storage.place
    if place is None:
        return []
    problem = await facade.storage.problem()
    detail = place if problem is None else f"{place}: {problem}"
    return [PartDocument(name="storage", ok=problem is None, detail=detail)]


async def _prefect(runs: FlowRuns, url: str) -> PartDocument:
    trouble = await runs.trouble()
    shown = without_userinfo(url)
    detail = shown if trouble is None else f"{shown} {trouble}"
    return PartDocument(name="prefect", ok=trouble is None, detail=detail)


async def _pool(runs: FlowRuns) -> list[PartDocument]:
    """A pool of another store: nothing is dispatched to it."""
    try:
        await runs.confirm_owner()
    except OtherStoreError as error:
        return [PartDocument(name="pool", ok=False, detail=f"{error}.")]
    except FlowsError:
        pass  # an unavailable Prefect has a part of its own
    return []


async def _workers(facade: Facade) -> list[PartDocument]:
    live = await facade.estimates.live_workers()
    if not live:
        missing = "none is running: start one with `easel worker`"
        return [PartDocument(name="worker", ok=False, detail=missing)]
    reached = [worker for worker in live if worker.comfy_reachable]
    shown = reached[0] if reached else live[0]
    return [
        PartDocument(name="worker", ok=True, detail=f"{len(live)} running"),
        PartDocument(
            name="comfyui",
            ok=bool(reached),
            detail=_comfy_detail(facade, shown),
        ),
        *_foreign_runs(live),
    ]


def _foreign_runs(live: Sequence[WorkerRecord]) -> list[PartDocument]:
    """Runs of other stores: no fault of this one, and somebody may miss them."""
    found = foreign_runs(live)
    return [PartDocument(name="foreign_runs", ok=True, detail=found)] if found else []


def _comfy_detail(facade: Facade, worker: WorkerRecord) -> str:
    url = without_userinfo(worker.comfy_url)  # a worker of an earlier version says it with it
    if not worker.comfy_reachable:
        return f"{url}: {worker.detail}"
    catalogue = facade.catalogue.current
    return f"{url}. {catalogue.why_left_out}" if catalogue and catalogue.left_out else url
