"""A worker of a pool in a real Prefect that leads the flow runs of its attempts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.states import Cancelling

from flows.attempts.attempt import Attempt
from flows.prefect.private.worker import PrefectWorker
from flows.prefect.runs import FlowRuns
from flows.runtime import Runtime
from flows.worker.carrying import Carrying
from flows.worker.deployed_flows import GENERATE, DeployedFlows
from flows.worker.leading import Leading
from flows.worker.operators import Operators
from tests.comfy.data import resolved
from tests.flows.gates import Pool
from tests.flows.prefect_server import Server


class Leader(PrefectWorker):
    """Takes nothing from Prefect; what it is told between Pending and Running, the test says."""

    type = "leader"

    def __init__(self, pool: str) -> None:
        super().__init__(pool)
        self.carrying: Carrying
        self.operators: Operators | None = None
        """Also hear of a cancel, if there are any."""
        self.looks = 0
        self.proposed: list[FlowRun] = []
        """The runs that were to be Pending, as Prefect lists them until they are."""
        self.cancels = False
        self.before_running: Callable[[UUID], Awaitable[None]] | None = None
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
        if self.operators is not None:
            self.operators.note(flow_run_id)

    async def propose_pending(self, flow_run: FlowRun) -> bool:
        self.proposed.append(flow_run)
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
        if self.before_running is not None:
            happen, self.before_running = self.before_running, None
            await happen(flow_run.id)
        return accepted


@dataclass
class Led:
    """Attempts of one worker, and the leading of their runs."""

    runtime: Runtime
    worker: Leader
    runs: FlowRuns
    leading: Leading
    carrying: Carrying
    operators: Operators

    @property
    def client(self) -> PrefectClient:
        return self.worker.client

    async def attempt(self, *, has_run: bool = False) -> Attempt:
        """One that was taken from the queue; its dispatch has made its run, or not."""
        store = self.runtime.store
        made = (await store.acceptance.accept(resolved())).generation
        if has_run:
            run = await self.runs.start(made.id, 1, resolved())
            assert await store.flow_runs.record_run(made.id, 1, run.id, run.deployment_id)
        return await self.taken()

    async def taken(self) -> Attempt:
        """What waits first, begun."""
        claim = await self.runtime.store.queue.take(
            self.runtime.holder, lambda found: found[0], ["interactive"]
        )
        assert claim is not None
        return self.runtime.attempts.begin(claim, claim.flow_run_id)

    async def running(self, attempt: Attempt) -> FlowRun:
        """Its run, once that is Running and shows the attempt."""
        async with asyncio.timeout(60):
            while attempt.flow_run_id is None:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
        return await self.begun(attempt.flow_run_id)

    async def begun(self, run_id: UUID) -> FlowRun:
        """A run, once this worker has set it Running."""
        async with asyncio.timeout(60):
            while True:
                run = await self.client.read_flow_run(run_id)
                if run.state is not None and self.carrying.has_begun_with(run.id, run.state.id):
                    return run
                await asyncio.sleep(0.01)

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


@asynccontextmanager
async def leading(runtime: Runtime, pool: Pool, url: str) -> AsyncIterator[Led]:
    """(Not a fixture: one task.) ``url``: where it makes runs."""
    EventsWorker.set_client_override(PrefectEventsClient)
    async with Leader(pool.name) as worker, FlowRuns(url, runtime.store.identity) as runs:
        carrying = worker.carrying = Carrying(runtime, worker, DeployedFlows(), lambda _: None)
        operators = Operators(runtime, runs, worker, carrying)
        led = Led(
            runtime, worker, runs, Leading(runtime, runs, worker, carrying), carrying, operators
        )
        try:
            async with operators.loop:
                yield led
        finally:
            await asyncio.gather(*(one.stop("release") for one in runtime.attempts.going))
            await led.leading.stop(within_s=5)


def url_of(server: Server) -> str:
    return str(server.http.base_url).rstrip("/")
