"""The flow run of an attempt, led beside the work in a real Prefect, by a real worker of a pool."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import AwaitingRetry, Paused, Running

from comfy.emulator import Emulator
from core.workflows.plan import Plan
from flows.attempts.attempt import Attempt, Kept, Stopped
from flows.attempts.stage import Stage
from flows.generate import ELSEWHERE_S
from flows.pipeline import PAUSED
from flows.prefect.gate import Gate
from flows.runtime import Runtime
from flows.worker.last_model import LastModel
from flows.worker.offering import Offering
from flows.worker.slots import Slots
from flows.worker.taking import Taking
from store.values import Claim, Holder
from tests.comfy.data import resolved
from tests.flows.gates import Pool
from tests.flows.leader import Led, leading, url_of
from tests.flows.prefect_server import Server
from tests.harness.proxy import FaultProxy
from tests.harness.transactions import open_write
from tests.store.making import dispatched, wait_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("prefect")]


@pytest.fixture
def server(stock_server: Server) -> Server:
    """One that is not Easel's, so that runs are led by Prefect's own requests."""
    return stock_server


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


async def test_a_cancel_between_pending_and_running_ends_run_and_attempt(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    """The engine does not begin then, and leaves the run as it was."""
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        led.worker.cancels = True
        attempt = await led.attempt()
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
        assert attempt in runtime.attempts.going
        emulator.faults.clear()
        assert isinstance(await attempt.outcome(), Kept)
        await led.leading.stop(within_s=200)
        assert runtime.attempts.of_run(run) is None
        with pytest.raises(ObjectNotFound):
            await led.client.read_flow_run(run)


async def test_a_run_that_prefect_lost_with_its_database_is_made_again(
    runtime: Runtime, pool: Pool, server: Server
) -> None:
    """Also when it was made a moment before, which the claim does not tell."""
    async with leading(runtime, pool, url_of(server)) as led:
        led.worker.loses = pool
        attempt = await led.attempt()
        run = await led.done(attempt)
        [former] = led.worker.lost
        assert run.id != former
        assert run.state_type == StateType.COMPLETED
        assert runtime.attempts.of_run(former) is None


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


# --- a pause in the moment in which the run is begun


async def paused(led: Led, attempt: Attempt) -> FlowRun:
    """Return when the attempt was given back as paused, and its run is led no more."""
    assert await attempt.outcome() == Stopped("pause")
    run = await led.ended(attempt)
    assert run.state_type == StateType.PAUSED
    now = await led.runtime.store.generations.get(attempt.claim.generation_id)
    assert (now.status, now.waiting) == ("queued", PAUSED)
    return run


async def resumed(led: Led, run: FlowRun, attempt: Attempt) -> Attempt:
    """The operator resumes it, and this worker takes it again. Returns the next attempt's work."""
    claim, flow_runs = attempt.claim, led.runtime.store.flow_runs
    await led.client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
    assert await flow_runs.rejoin(claim.generation_id, run.id, 1, rerun=False) == "joined"
    return await led.taken()


async def test_a_pause_that_is_heard_of_before_the_run_is_running_holds(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    """Prefect accepts Running after it."""
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt()

        async def pause(run_id: UUID) -> None:
            await led.client.set_flow_run_state(run_id, Paused(), force=True)
            led.operators.note(run_id)
            await attempt.outcome()

        led.worker.before_running = pause
        led.leading.begin(attempt)
        run = await paused(led, attempt)
        emulator.faults.clear()
        again = await resumed(led, run, attempt)
        assert (await led.done(again)).state_type == StateType.COMPLETED
        assert isinstance(await again.outcome(), Kept)


async def test_a_pause_that_is_heard_of_when_the_run_is_running_holds(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    """The run does not tell of it any more, its former states do."""
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt()

        async def pause(run_id: UUID) -> None:
            await led.client.set_flow_run_state(run_id, Paused(), force=True)

        led.worker.before_running = pause
        led.leading.begin(attempt)
        run = await led.running(attempt)
        led.operators.note(run.id)
        run = await paused(led, attempt)
        emulator.faults.clear()
        again = await resumed(led, run, attempt)
        assert (await led.done(again)).state_type == StateType.COMPLETED
        assert isinstance(await again.outcome(), Kept)


async def test_a_run_that_is_paused_while_it_executes_waits_as_paused(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt()
        led.leading.begin(attempt)
        run = await led.running(attempt)
        await led.client.set_flow_run_state(run.id, Paused())
        led.operators.note(run.id)
        await paused(led, attempt)


async def test_a_run_that_was_resumed_while_it_executes_goes_on(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    """Prefect's own resume sets it Running. The word of the pause comes after that."""
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt()
        led.leading.begin(attempt)
        run = await led.running(attempt)
        await led.client.set_flow_run_state(run.id, Paused())
        await led.client.resume_flow_run(run.id)
        assert (await led.client.read_flow_run(run.id)).state_type == StateType.RUNNING
        led.operators.note(run.id)
        await led.operators._apply()
        emulator.faults.clear()
        assert (await led.ended(attempt)).state_type == StateType.COMPLETED
        assert isinstance(await attempt.outcome(), Kept)


async def test_a_run_that_prefect_gave_is_paused_too_before_it_has_begun(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    """As under a limit: its attempt is claimed when it is Running."""
    emulator.faults.hang()
    store = runtime.store
    async with leading(runtime, pool, url_of(server)) as led:
        made = (await store.acceptance.accept(resolved())).generation
        run = await led.runs.start(made.id, 1, resolved())
        assert await store.flow_runs.record_run(made.id, 1, run.id, run.deployment_id)

        async def pause(run_id: UUID) -> None:
            await led.client.set_flow_run_state(run_id, Paused(), force=True)
            led.operators.note(run_id)

            async def is_paused() -> bool:
                return (await store.generations.get(made.id)).waiting == PAUSED

            await wait_until(is_paused)

        led.worker.before_running = pause
        led.worker.take(run)
        await led.worker.idle.wait()
        now = await store.generations.get(made.id)
        assert (now.status, now.waiting) == ("queued", PAUSED)
        assert (await led.client.read_flow_run(run.id)).state_type == StateType.PAUSED


# --- a limit is removed between Pending and the claim


async def looked_at(runtime: Runtime) -> Offering:
    """What the ComfyUI offers, known."""
    offering = Offering(runtime.store, runtime.session.client, lambda: None)
    async with AsyncExitStack() as looking, asyncio.timeout(60):
        for loop in offering.loops:
            await looking.enter_async_context(loop)
        while not offering.is_known:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
    return offering


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_run_that_prefect_gave_is_not_claimed_twice_when_its_limit_is_removed(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator, at_once: bool
) -> None:
    """Its worker takes from the queue again: before the flow begins, or while that claims it."""
    store = runtime.store
    taken: list[Attempt] = []
    async with leading(runtime, pool, url_of(server)) as led:
        made = (await store.acceptance.accept(resolved())).generation
        run = await led.runs.start(made.id, 1, resolved())
        assert await store.flow_runs.record_run(made.id, 1, run.id, run.deployment_id)
        await comfyui_is_reached(runtime)
        offering = await looked_at(runtime)
        taking = Taking(runtime, Slots(2), Gate, taken.append, offering, LastModel(), load_s=0.0)
        store_is_busy = AsyncExitStack()

        async def take(_run_id: UUID) -> None:
            if not at_once:
                await taking._take()
                return
            await store_is_busy.enter_async_context(open_write(store.database))
            taking.loop.start()

        led.worker.before_running = take
        led.worker.take(run)
        if at_once:
            await led.begun(run.id)
            await store_is_busy.aclose()
        await led.worker.idle.wait()
        await taking.stop()
        for attempt in taken:
            led.leading.begin(attempt)
        await led.leading.stop(within_s=60)
        now = await store.generations.get(made.id)
        assert (now.status, now.attempt, now.fence) == ("succeeded", 1, 1)
        assert (await led.client.read_flow_run(run.id)).state_type == StateType.COMPLETED
        assert sum(emulator.posts.values()) == 1
        assert runtime.attempts.of_run(run.id) is None


async def test_a_run_that_prefect_gave_and_that_another_worker_took_meanwhile_is_that_ones(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    """It waits until the other one has done it, and has nothing to do then."""
    store = runtime.store
    other = Holder("another", uuid4(), runtime.holder.comfy_url)
    async with leading(runtime, pool, url_of(server)) as led:
        made = (await store.acceptance.accept(resolved())).generation
        run = await led.runs.start(made.id, 1, resolved())
        assert await store.flow_runs.record_run(made.id, 1, run.id, run.deployment_id)
        claims: list[Claim] = []

        async def take(_run_id: UUID) -> None:
            claim = await store.queue.take(other, lambda found: found[0], ["interactive"])
            assert claim is not None
            claims.append(claim)

        led.worker.before_running = take
        led.worker.take(run)
        await led.begun(run.id)
        await store.transitions.succeed(claims[0], [])
        await led.worker.idle.wait()
        assert (await led.client.read_flow_run(run.id)).state_type == StateType.COMPLETED
        assert (await store.generations.get(made.id)).status == "succeeded"
        assert not emulator.posts


# --- what this worker's ComfyUI cannot do


async def test_a_run_that_cannot_be_done_here_waits_and_is_due_again_for_another_worker(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    """As under a limit: Prefect gave it before the worker knew what is needed."""
    store = runtime.store
    elsewhere = "of-another.safetensors"
    plan = Plan(model=elsewhere, models={"checkpoints": (elsewhere,)})
    request = resolved(model=elsewhere, plan=plan)
    async with leading(runtime, pool, url_of(server)) as led:
        await comfyui_is_reached(runtime)
        runtime.lacks = (await looked_at(runtime)).lacks
        made = (await store.acceptance.accept(request)).generation
        run = await led.runs.start(made.id, 1, request)
        assert await store.flow_runs.record_run(made.id, 1, run.id, run.deployment_id)

        led.worker.take(run)
        await led.worker.idle.wait()

        waits = (await led.client.read_flow_run(run.id)).state
        assert waits is not None
        assert (waits.type, waits.name) == (StateType.SCHEDULED, "AwaitingCapableWorker")
        assert waits.message is not None
        assert elsewhere in waits.message
        assert waits.state_details.scheduled_time is not None
        assert waits.state_details.scheduled_time <= waits.timestamp + timedelta(
            seconds=ELSEWHERE_S
        )
        now = await store.generations.get(made.id)
        assert (now.status, now.attempt, now.fence, now.error) == ("queued", 1, 0, None)
        assert not emulator.posts

        async def is_due() -> bool:
            due = await led.client.get_scheduled_flow_runs_for_work_pool(
                pool.name, scheduled_before=datetime.now(UTC)
            )
            return [one.flow_run.id for one in due] == [run.id]

        await wait_until(is_due)
        other = Holder("another", uuid4(), "http://127.0.0.1:9")
        claim = await store.queue.take(other, lambda found: found[0], ["interactive"])
        assert claim is not None
        assert (claim.generation_id, claim.flow_run_id) == (made.id, run.id)


async def comfyui_is_reached(runtime: Runtime) -> None:
    async def is_reached() -> bool:
        return runtime.session.reachable

    await wait_until(is_reached)
