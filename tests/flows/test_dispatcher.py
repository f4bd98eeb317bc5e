"""The dispatcher: each attempt is told to Prefect once, by however many processes, and in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed

from flows.prefect.runs import FlowRuns
from flows.reconcile.dispatcher import Dispatcher
from store.batches.dispatches import FORGET_BATCH
from store.generations.dispatches import KINDS
from store.store import Store
from tests.chaos.model import CANCELLED, PrefectServer
from tests.comfy.data import resolved
from tests.store.batch_making import accepted_batch
from tests.store.making import wait_until


class Prefect(PrefectServer):
    """Counts what it is asked to create; can be slow or away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()
        self.answers = asyncio.Event()
        self.answers.set()
        self.is_away = False

    async def create_flow_run_from_deployment(self, *args: Any, **told: Any) -> FlowRun:
        if self.is_away:
            raise httpx.ConnectError("All connection attempts failed")
        self.asked[told["idempotency_key"]] += 1
        await self.answers.wait()
        return await super().create_flow_run_from_deployment(*args, **told)


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
async def second(store: Store, tmp_path: Path) -> AsyncIterator[Store]:
    """The same store, as another process has it open."""
    async with Store(store.database.url, str(tmp_path / "images")) as second:
        yield second


def dispatcher(store: Store, prefect: Prefect, name: str = "one") -> Dispatcher:
    runs = FlowRuns("http://prefect.test/api")
    runs._client = prefect  # type: ignore[assignment]
    return Dispatcher(store, runs, lambda: False, name=name, lease_s=600)


async def test_two_processes_tell_prefect_of_each_attempt_once(
    store: Store, second: Store, prefect: Prefect
) -> None:
    made = [(await store.acceptance.accept(resolved())).generation for _ in range(20)]

    async with dispatcher(store, prefect, "one"), dispatcher(second, prefect, "two"):
        await wait_until(lambda: _is_empty(store))

    assert prefect.asked == {f"{generation.id}:1": 1 for generation in made}
    for generation in made:
        assert (await store.generations.get(generation.id)).flow_run_id in prefect.runs


async def test_a_cancel_waits_for_the_start_that_another_process_makes(
    store: Store, second: Store, prefect: Prefect
) -> None:
    made = (await store.acceptance.accept(resolved())).generation
    prefect.answers.clear()
    async with dispatcher(store, prefect, "one"):
        await wait_until(lambda: _has_asked(prefect, 1))
        await store.transitions.request_cancel(made.id)
        other = (await store.acceptance.accept(resolved())).generation
        async with dispatcher(second, prefect, "two") as two:
            two.wake()
            await wait_until(lambda: _has_asked(prefect, 2))  # so it has had its look
            assert await store.outbox.count(KINDS) == 3
            prefect.answers.set()
            await wait_until(lambda: _is_empty(store))

    states = {run.idempotency_key: run.state_type for run in prefect.runs.values()}
    assert states[f"{made.id}:1"] == CANCELLED
    assert states[f"{other.id}:1"] != CANCELLED


async def test_while_prefect_is_away_it_says_so_and_nothing_is_lost(
    store: Store, prefect: Prefect
) -> None:
    prefect.is_away = True
    for _ in range(3):
        await store.acceptance.accept(resolved())
    async with dispatcher(store, prefect) as one:
        await wait_until(lambda: _says(one, "All connection attempts failed"))
        assert await store.outbox.count(KINDS) == 3
        prefect.is_away = False
        await wait_until(lambda: _is_empty(store))
        assert one.waiting_for is None

    assert sorted(prefect.asked.values()) == [1, 1, 1]


async def test_a_batch_that_is_removed_takes_its_runs_with_it(
    store: Store, prefect: Prefect
) -> None:
    """Also those whose ids were never recorded, and the one that it was started from."""
    batch = await accepted_batch(store)
    await store.batch_transitions.finish(batch.id, "cancelled")
    again = await store.batch_transitions.retry(batch.id)
    await store.batch_transitions.finish(batch.id, "cancelled")
    runs = FlowRuns("http://prefect.test/api")
    runs._client = prefect  # type: ignore[assignment]
    await runs.start_batch(batch)
    await runs.start_batch(again)
    started_from = await runs.start_batch(await accepted_batch(store))
    prefect.runs[batch.id] = prefect.runs.pop(started_from.id).model_copy(update={"id": batch.id})
    other = await runs.start_batch(await accepted_batch(store))
    for run_id in prefect.runs:
        prefect.move(run_id, Completed(), force=True)
    assert len(prefect.runs) == 4

    await store.batch_transitions.remove(batch.id)

    async with dispatcher(store, prefect):
        await wait_until(lambda: _nothing_waits(store))
    assert set(prefect.runs) == {other.id}


async def _nothing_waits(store: Store) -> bool:
    return await store.outbox.count([FORGET_BATCH]) == 0


async def _is_empty(store: Store) -> bool:
    return await store.outbox.count(KINDS) == 0


async def _has_asked(prefect: Prefect, count: int) -> bool:
    return prefect.asked.total() >= count


async def _says(dispatcher: Dispatcher, reason: str) -> bool:
    return reason in (dispatcher.waiting_for or "")
