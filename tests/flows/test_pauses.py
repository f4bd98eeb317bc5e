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
    assert server.http.patch(f"/work_pools/{pool}", json={"is_paused": paused}).is_success


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
        await until(watch, lambda seen: seen.pool == "one")
        assert "The work pool one is paused." in (watch.now().why("bulk") or "")

        assert server.http.delete(f"/deployments/{deployment}").is_success
        await until(watch, lambda seen: seen == Paused())
        register(server, "two")
        pause(server, "two", paused=True)
        await until(watch, lambda seen: seen.pool == "two")

        pause(server, "two", paused=False)
        await until(watch, lambda seen: seen == Paused())
