"""Whether the work pool is paused, asked of a real Prefect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from flows.prefect.pauses import Paused, PauseWatch
from flows.prefect.runs import FlowRuns
from tests.flows.prefect_server import Server

pytestmark = pytest.mark.timeout(300)


def register(server: Server, pool: str) -> str:
    """The pool, and the deployment of generations on it; its id."""
    server.post("/work_pools/", name=pool, type="comfyui")
    flow = server.post("/flows/", name="generate")
    return server.post("/deployments/", name="comfyui", flow_id=flow, work_pool_name=pool)


def pause(server: Server, pool: str, *, paused: bool) -> None:
    change(server, f"/work_pools/{pool}", is_paused=paused)


def change(server: Server, path: str, **fields: object) -> None:
    answer = server.http.patch(path, json=fields)
    assert answer.is_success, answer.text


async def until(watch: PauseWatch, condition: Callable[[Paused], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition(watch.now()):  # noqa: ASYNC110 - only a look tells
            await asyncio.sleep(0.05)


async def test_a_pause_is_seen_also_when_prefect_has_lost_everything_meanwhile(
    server: Server,
) -> None:
    deployment = register(server, "one")
    async with FlowRuns(str(server.http.base_url)) as runs, PauseWatch(runs) as watch:
        assert watch.now() == Paused()
        pause(server, "one", paused=True)
        await until(watch, lambda seen: "The work pool one is paused." in (seen.pool or ""))
        assert watch.now().why("bulk") == watch.now().pool

        assert server.http.delete(f"/deployments/{deployment}").is_success
        await until(watch, lambda seen: seen == Paused())
        deployment = register(server, "two")
        pause(server, "two", paused=True)
        await until(watch, lambda seen: "The work pool two is paused." in (seen.pool or ""))

        pause(server, "two", paused=False)
        await until(watch, lambda seen: seen == Paused())
    assert server.http.delete(f"/deployments/{deployment}").is_success


async def test_a_queue_that_is_paused_or_may_run_nothing_is_seen(server: Server) -> None:
    deployment = register(server, "three")
    server.post("/work_pools/three/queues", name="bulk")
    queue, pool = "/work_pools/three/queues/bulk", "/work_pools/three"

    async def seen(watch: PauseWatch, path: str, words: str, **fields: object) -> None:
        await asyncio.to_thread(change, server, path, **fields)
        await until(watch, lambda now: words in (now.why("bulk") or ""))

    try:
        async with FlowRuns(str(server.http.base_url)) as runs, PauseWatch(runs) as watch:
            await seen(watch, queue, "The work queue bulk is paused.", is_paused=True)
            assert watch.now().why("interactive") is None
            await asyncio.to_thread(change, server, queue, is_paused=False)
            await until(watch, lambda now: now == Paused())
            await seen(
                watch,
                queue,
                "The work queue bulk has a concurrency limit of 0.",
                concurrency_limit=0,
            )
            assert watch.now().why("interactive") is None
            await asyncio.to_thread(change, server, queue, concurrency_limit=None)
            await until(watch, lambda now: now == Paused())
            await seen(
                watch,
                pool,
                "The work pool three has a concurrency limit of 0.",
                concurrency_limit=0,
            )
            await asyncio.to_thread(change, server, pool, concurrency_limit=1)
            await until(watch, lambda now: now == Paused())
    finally:
        server.http.delete(f"/deployments/{deployment}")
