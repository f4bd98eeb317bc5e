"""``/metrics``: what monitoring reads, in Prometheus' text format."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from api.dependencies import opened
from api.figures import Figures
from api.openapi import problems
from store.errors import StoreError

router = APIRouter(tags=["health"])
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
    await _add_store(now, figures)
    free = await figures.disk_free()
    if free is not None:
        _gauge(now, "easel_disk_free_bytes", "Bytes free on the scarcest disk", free)
    body = generate_latest(now) + generate_latest(REGISTRY)
    return Response(body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _add_store(now: CollectorRegistry, figures: Figures) -> None:
    try:
        found = await figures.of_store()
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


def _gauges(
    registry: CollectorRegistry, name: str, words: str, label: str, counts: Mapping[Any, int]
) -> None:
    gauge = Gauge(name, words, [label], registry=registry)
    for value, count in counts.items():
        gauge.labels(value).set(count)


def _gauge(registry: CollectorRegistry, name: str, words: str, value: float) -> None:
    Gauge(name, words, registry=registry).set(value)
