"""The flow run of an attempt, led beside the work in a real Prefect, by a real worker of a pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, StateType, TaskRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling, Running

from comfy.emulator import Emulator
from flows.attempts.attempt import Attempt, Kept, Stopped
from flows.attempts.stage import Stage
from flows.prefect.private.worker import PrefectWorker
from flows.prefect.runs import FlowRuns
from flows.runtime import Runtime
from flows.worker.carrying import Carrying
from flows.worker.deployed_flows import GENERATE, DeployedFlows
from flows.worker.leading import Leading
from tests.comfy.data import resolved
from tests.flows.gates import Pool, a_pool
from tests.flows.prefect_server import Server
from tests.harness.proxy import FaultProxy
from tests.store.making import dispatched

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("prefect")]


class Leader(PrefectWorker):
    """Takes nothing from Prefect; what it is told between Pending and Running, the test says."""

    type = "leader"

    def __init__(self, pool: str) -> None:
        super().__init__(pool)
        self.carrying: Carrying
        self.looks = 0
        self.cancels = False
        self.loses: Pool | None = None
        self.lost: list[UUID] = []

    @property
    def under_way(self) -> AbstractSet[UUID]:
        self.looks += 1
        return super().under_way

    async def find_due(self) -> list[WorkerFlowRunResponse]:
        return []

    async def choose(self, due: list[WorkerFlowRunResponse]) -> list[FlowRun]:  # noqa: ARG002
        return []

    async def carry_out(self, flow_run: FlowRun) -> None:
        await self.carrying.carry_out(flow_run)

    def on_cancelling(self, flow_run_id: UUID) -> None:
        self.carrying.on_cancelling(flow_run_id)

    async def propose_pending(self, flow_run: FlowRun) -> bool:
        if self.loses is not None:  # Prefect loses its database
            await self.client.delete_flow_run(flow_run.id)
            await asyncio.to_thread(self.loses.remove)
            await asyncio.to_thread(self.loses.register)
            await asyncio.to_thread(self.loses.deploy, "comfyui", entrypoint=GENERATE)
            self.loses = None
            self.lost.append(flow_run.id)
        accepted = await super().propose_pending(flow_run)
        if self.cancels:
            await self.client.set_flow_run_state(flow_run.id, Cancelling(), force=True)
            self.on_cancelling(flow_run.id)
            self.cancels = False
        return accepted


@dataclass
class Led:
    """Attempts of one worker, and the leading of their runs."""

    runtime: Runtime
    worker: Leader
    runs: FlowRuns
    leading: Leading

    @property
    def client(self) -> PrefectClient:
        return self.worker.client

    async def attempt(self, *, has_run: bool = False) -> Attempt:
        """One that was taken from the queue; its dispatch has made its run, or not."""
        store = self.runtime.store
        made = (await store.acceptance.accept(resolved())).generation
        if has_run:
            run = await self.runs.start(made.id, 1, resolved())
            assert await store.transitions.record_run(made.id, 1, run.id, run.deployment_id)
        claim = await store.queue.take(self.runtime.holder, lambda found: found[0], ["interactive"])
        assert claim is not None
        return self.runtime.attempts.begin(claim, claim.flow_run_id)

    async def done(self, attempt: Attempt) -> FlowRun:
        """Lead the run to the end of it. Returns it."""
        self.leading.begin(attempt)
        return await self.ended(attempt)

    async def ended(self, attempt: Attempt) -> FlowRun:
        await self.leading.stop(within_s=200)
        assert self.worker.idle.is_set()
        run = await self.run_of(attempt)
        assert self.runtime.attempts.of_run(run.id) is None
        return run

    async def run_of(self, attempt: Attempt) -> FlowRun:
        """The one that was made, which the row names too."""
        claim = attempt.claim
        [made] = await self.runs.made_for(claim.generation_id, [1])
        assert (await self.runtime.store.generations.get(claim.generation_id)).flow_run_id == made
        return await self.client.read_flow_run(made)

    async def status(self, attempt: Attempt) -> str:
        return (await self.runtime.store.generations.get(attempt.claim.generation_id)).status

    async def tasks(self, run: FlowRun, count: int) -> list[TaskRun]:
        """Its task runs in their order, once Prefect has recorded that they ended."""
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        async with asyncio.timeout(60):
            while True:
                found = await self.client.read_task_runs(flow_run_filter=wanted)
                if len(found) == count and all(one.state_name == "Completed" for one in found):
                    return sorted(found, key=lambda one: str(one.start_time))
                await asyncio.sleep(0.05)


@pytest.fixture
def pool(server: Server) -> Iterator[Pool]:
    with a_pool(server) as pool:
        pool.deploy("comfyui", entrypoint=GENERATE)
        yield pool


@asynccontextmanager
async def leading(runtime: Runtime, pool: Pool, url: str) -> AsyncIterator[Led]:
    """(Not a fixture: one task.) ``url``: where it makes runs."""
    EventsWorker.set_client_override(PrefectEventsClient)
    async with Leader(pool.name) as worker, FlowRuns(url, runtime.store.identity) as runs:
        carrying = worker.carrying = Carrying(runtime, worker, DeployedFlows(), lambda _: None)
        led = Led(runtime, worker, runs, Leading(runtime, runs, worker, carrying))
        try:
            yield led
        finally:
            await asyncio.gather(*(one.stop("release") for one in runtime.attempts.going))
            await led.leading.stop(within_s=5)


def url_of(server: Server) -> str:
    return str(server.http.base_url).rstrip("/")


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
        await led.leading.stop(within_s=200)
        assert attempt in runtime.attempts.going
        emulator.faults.clear()
        assert isinstance(await attempt.outcome(), Kept)
        await runtime.attempts.idle.wait()
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
