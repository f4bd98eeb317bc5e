"""``/metrics``: what monitoring reads, in Prometheus' text format."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from api.dependencies import opened
from api.figures import Figures
from api.openapi import problems
from api.workers.documents import WorkerDocument
from api.workers.facade import WorkerFacade
from store.errors import StoreError

router = APIRouter(tags=["health"])
_OF_WORKERS: Final[tuple[tuple[str, str, Callable[[WorkerDocument], float | None]], ...]] = (
    ("easel_worker_reachable", "1: it runs, and reaches its ComfyUI", lambda one: one.reachable),
    ("easel_worker_running", "Generations that it has taken", lambda one: one.running),
    ("easel_worker_waiting", "Waiting ones that it could take", lambda one: one.waiting),
    (
        "easel_worker_seconds_per_cost",
        "Seconds for a megapixel drawn in one step",
        lambda one: one.seconds_per_cost,
    ),
    (
        "easel_worker_seen_timestamp_seconds",
        "When it last said that it runs",
        lambda one: one.seen_at.timestamp(),
    ),
)
"""What is said of each worker; None says nothing."""
_log = logging.getLogger(__name__)


@router.get(
    "/metrics",
    summary="For monitoring",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **problems()},
)
async def metrics(request: Request) -> Response:
    """Prometheus' text format. What the database would say is left out while it is away."""
    figures = opened(request, Figures)
    now = CollectorRegistry()
    await _add_store(now, figures, opened(request, WorkerFacade))
    free = await figures.disk_free()
    if free is not None:
        _gauge(now, "easel_disk_free_bytes", "Bytes free on the scarcest disk", free)
    body = generate_latest(now) + generate_latest(REGISTRY)
    return Response(body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _add_store(now: CollectorRegistry, figures: Figures, fleet: WorkerFacade) -> None:
    try:
        found, workers = await figures.of_store(), (await fleet.all()).workers
    except StoreError as error:
        _log.debug("metrics without the store: %s", error)
        return
    _gauges(
        now,
        "easel_generations",
        "Generations that are not deleted",
        "status",
        found.generations,
    )
    _gauges(now, "easel_deliveries", "Events for callbacks", "state", found.deliveries)
    _gauge(now, "easel_outbox_pending", "Pending dispatches to Prefect", found.outbox)
    _gauge(now, "easel_workers_live", "Workers that were seen lately", found.workers)
    for name, words, value_of in _OF_WORKERS:
        counts = {one.name: value for one in workers if (value := value_of(one)) is not None}
        _gauges(now, name, words, "worker", counts)


def _gauges(
    registry: CollectorRegistry, name: str, words: str, label: str, counts: Mapping[Any, float]
) -> None:
    gauge = Gauge(name, words, [label], registry=registry)
    for value, count in counts.items():
        gauge.labels(value).set(count)


def _gauge(registry: CollectorRegistry, name: str, words: str, value: float) -> None:
    Gauge(name, words, registry=registry).set(value)
