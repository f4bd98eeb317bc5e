"""The flow run of an attempt, led beside the work in a real Prefect, by a real worker of a pool."""

from __future__ import annotations

import asyncio

import pytest
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Running

from comfy.emulator import Emulator
from flows.attempts.attempt import Kept, Stopped
from flows.attempts.stage import Stage
from flows.runtime import Runtime
from tests.flows.gates import Pool
from tests.flows.led import leading, url_of
from tests.flows.prefect_server import Server
from tests.harness.proxy import FaultProxy
from tests.store.making import dispatched

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("prefect")]


@pytest.fixture(params=["own", "stock"])
def server(request: pytest.FixtureRequest, server: Server) -> Server:
    """Easel's own, which takes accounts, and a stock one: each has its way to lead a run."""
    if request.param == "own":
        return server
    stock: Server = request.getfixturevalue("stock_server")
    return stock


async def test_the_run_is_made_by_its_key_and_recorded(
    runtime: Runtime, pool: Pool, server: Server
) -> None:
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt()
        run = await led.done(attempt)
        assert run.state_type == StateType.COMPLETED
        assert run.run_count == 1
        assert isinstance(await attempt.outcome(), Kept)
        assert await dispatched(runtime.store, attempt.claim.generation_id) == []


async def test_a_run_that_comes_after_its_work_shows_when_it_was_done(
    runtime: Runtime, pool: Pool, server: Server
) -> None:
    assert server.http.base_url.port is not None
    with FaultProxy(server.http.base_url.port) as between:
        await asyncio.to_thread(between.block)
        async with leading(runtime, pool, f"{between.url}/api") as led:
            attempt = await led.attempt()
            led.leading.begin(attempt)
            assert isinstance(await attempt.outcome(), Kept)
            assert attempt.flow_run_id is None
            await asyncio.to_thread(between.unblock)
            run = await led.ended(attempt)
            assert run.state_type == StateType.COMPLETED
            stages: list[Stage] = [stage async for stage in attempt.stages()]
            shown = await led.tasks(run, len(stages))
            assert len(shown) == 4
            assert [one.start_time for one in shown] == [one.began_at for one in stages]
            assert [one.end_time for one in shown] == [one.ended_at for one in stages]


async def test_a_run_that_was_dispatched_before_is_used(
    runtime: Runtime, pool: Pool, server: Server
) -> None:
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt(has_run=True)
        before = attempt.flow_run_id
        run = await led.done(attempt)
        assert (run.id, run.state_type) == (before, StateType.COMPLETED)


async def test_a_run_that_a_dead_worker_left_running_is_put_back_and_led(
    runtime: Runtime, pool: Pool, server: Server
) -> None:
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt(has_run=True)
        assert attempt.flow_run_id is not None
        await led.client.set_flow_run_state(attempt.flow_run_id, Running(), force=True)
        run = await led.done(attempt)
        assert (run.state_type, run.run_count) == (StateType.COMPLETED, 2)


async def test_a_run_that_was_cancelled_before_cancels_the_attempt(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt(has_run=True)
        assert attempt.flow_run_id is not None
        await led.runs.cancel(attempt.flow_run_id)
        run = await led.done(attempt)
        assert run.state_type == StateType.CANCELLED
        assert await attempt.outcome() == Stopped("cancel")
        assert await led.status(attempt) == "cancelled"


async def test_a_deleted_run_ends_the_leading_and_the_attempt_is_forgotten_in_the_end(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt(has_run=True)
        run = attempt.flow_run_id
        assert run is not None
        await led.client.delete_flow_run(run)
        led.leading.begin(attempt)
        await led.leading.stop(within_s=200)
        assert attempt in runtime.attempts.going
        emulator.faults.clear()
        assert isinstance(await attempt.outcome(), Kept)
        await runtime.attempts.idle.wait()
        assert runtime.attempts.of_run(run) is None
        with pytest.raises(ObjectNotFound):
            await led.client.read_flow_run(run)


async def test_a_run_that_the_worker_has_from_prefect_is_not_led_besides(
    runtime: Runtime, pool: Pool, server: Server
) -> None:
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt(has_run=True)
        assert attempt.flow_run_id is not None
        led.worker.watch(attempt.flow_run_id)
        led.leading.begin(attempt)
        async with asyncio.timeout(100):
            while led.worker.looks < 2:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        run = await led.client.read_flow_run(attempt.flow_run_id)
        assert run.state_type == StateType.SCHEDULED
        led.worker.take(run)  # no second time either
        led.worker.finish(run.id)
        assert (await led.ended(attempt)).run_count == 1


async def test_one_that_was_given_back_is_left_to_the_worker_that_takes_it(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt(has_run=True)
        assert attempt.flow_run_id is not None
        await attempt.stop("release")
        await led.client.set_flow_run_state(attempt.flow_run_id, Running(), force=True)
        run = await led.done(attempt)
        assert run.state_type == StateType.RUNNING  # by that worker
        assert run.run_count == 1
