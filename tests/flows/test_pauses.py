"""Whether the work pool is paused: a worker asks a real Prefect, others read the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from flows.prefect.gate import Paused
from flows.prefect.pauses import PauseWatch
from flows.prefect.runs import FlowRuns
from flows.worker.gate import GateWatch
from store.store import Store
from tests.flows.gates import a_pool
from tests.flows.prefect_server import Server

pytestmark = pytest.mark.timeout(300)


class Seen:
    """What the other process sees; the worker looks whenever that is asked, as after an event."""

    def __init__(self, pauses: PauseWatch, gate: GateWatch) -> None:
        self._pauses = pauses
        self._gate = gate

    def now(self) -> Paused:
        self._gate.wake()
        return self._pauses.now()

    async def until(self, condition: Callable[[Paused], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition(self.now()):  # noqa: ASYNC110 - only a look tells
                await asyncio.sleep(0.05)


@asynccontextmanager
async def watching(server: Server, store: Store, tmp_path: Path, pool: str) -> AsyncIterator[Seen]:
    """A worker of that pool, and a process beside it."""
    async with (
        Store(store.database.url, str(tmp_path / "images")) as other,
        FlowRuns(str(server.http.base_url)) as runs,
        PauseWatch(other, pool) as pauses,
    ):
        gate = GateWatch(store, lambda: runs.client, pool)
        async with gate.loop:
            yield Seen(pauses, gate)


async def test_a_pause_is_seen_also_when_prefect_has_lost_everything_meanwhile(
    server: Server, store: Store, tmp_path: Path
) -> None:
    with a_pool(server) as pool:
        words = f"The work pool {pool.name} is paused."
        async with watching(server, store, tmp_path, pool.name) as seen:
            assert seen.now() == Paused()
            await asyncio.to_thread(pool.change, "pool", is_paused=True)
            await seen.until(lambda now: words in (now.pool or ""))
            assert seen.now().why("bulk") == seen.now().pool

            await asyncio.to_thread(pool.remove)
            await asyncio.to_thread(pool.register)
            await seen.until(lambda now: now == Paused())
            await asyncio.to_thread(pool.change, "pool", is_paused=True)
            await seen.until(lambda now: words in (now.pool or ""))

            await asyncio.to_thread(pool.change, "pool", is_paused=False)
            await seen.until(lambda now: now == Paused())


async def test_a_queue_that_is_paused_or_may_run_nothing_is_seen(
    server: Server, store: Store, tmp_path: Path
) -> None:
    with a_pool(server) as pool:
        async with watching(server, store, tmp_path, pool.name) as seen:

            async def sees(place: str, words: str, **fields: object) -> None:
                await asyncio.to_thread(pool.change, place, **fields)
                await seen.until(lambda now: words in (now.why("bulk") or ""))

            await sees("bulk", "The work queue bulk is paused.", is_paused=True)
            assert seen.now().why("interactive") is None
            await asyncio.to_thread(pool.change, "bulk", is_paused=False)
            await seen.until(lambda now: now == Paused())
            words = "The work queue bulk has a concurrency limit of 0."
            await sees("bulk", words, concurrency_limit=0)
            assert seen.now().why("interactive") is None
            await asyncio.to_thread(pool.change, "bulk", concurrency_limit=None)
            await seen.until(lambda now: now == Paused())
            words = f"The work pool {pool.name} has a concurrency limit of 0."
            await sees("pool", words, concurrency_limit=0)
            await asyncio.to_thread(pool.change, "pool", concurrency_limit=1)
            await seen.until(lambda now: now == Paused())


async def test_what_a_worker_has_stored_before_is_seen_without_one(
    store: Store, tmp_path: Path
) -> None:
    value = {"paused": {"pool": "It rests.", "queues": {}}, "limits": []}
    await store.registry.keep_gate("gpu", value)
    async with (
        Store(store.database.url, str(tmp_path / "images")) as other,
        PauseWatch(other, "gpu") as pauses,
        asyncio.timeout(60),
    ):
        while pauses.now().why("interactive") != "It rests.":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
