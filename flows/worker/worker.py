"""The worker type ``comfyui``: one worker beside one ComfyUI, runs inside its own process.

A stock process worker starts an interpreter for each run and polls every ten seconds: 7–12 s pass
before ComfyUI sees the prompt, and the GPU idles 70 % of the time. This one takes generations from
the store's queue within milliseconds (``taking.py``) and leads their flow runs beside the work
(``leading.py``), as asyncio tasks. It renders two at a time, so that ComfyUI always has the next
prompt queued behind the one it renders; no deeper, so that priority stays meaningful. One whose
prompt has left ComfyUI makes room for the next while it keeps its outputs.

Batches' runs come from Prefect, and so do generations while an operator has set a limit: then
Prefect says what may begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.events import Event
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from core import gc_tuning
from core.loop import Loop
from core.settings import Settings
from flows.attempts.attempt import Attempt
from flows.errors import ForeignFlowError, OtherStoreError
from flows.prefect.abandoned_runs import settle_run
from flows.prefect.endpoint import Endpoint
from flows.prefect.foreign_runs import generation_of, put_back_for
from flows.prefect.gate import Gate
from flows.prefect.pool_owner import claim_pool
from flows.prefect.private.engine import (
    ask_once_where_results_go,
    keep_parameters_out_of_logs,
)
from flows.prefect.private.worker import PrefectWorker
from flows.prefect.runs import BATCH_QUEUE, FlowRuns
from flows.runtime import Runtime, open_runtime
from flows.sources import Answering, looking_at_sources
from flows.worker import events
from flows.worker.carrying import STOPPING_S, Carrying
from flows.worker.deployed_flows import BULK, DeployedFlows
from flows.worker.events import EventStream
from flows.worker.fair_order import Due, Turns
from flows.worker.foreign_runs import ForeignRuns
from flows.worker.gate import GateWatch
from flows.worker.heartbeat import Upkeep
from flows.worker.joining import Joining
from flows.worker.last_model import LastModel
from flows.worker.leading import Leading
from flows.worker.offering import Offering
from flows.worker.operators import Operators
from flows.worker.recovery import let_go_of_the_dead, take_batches_back
from flows.worker.registration import Registration
from flows.worker.slots import Slots
from flows.worker.taking import PRIORITIES, Taking
from flows.worker.telling import Telling
from store.errors import StoreError

TELLING_S: Final = 5.0
"""How long a worker that stops waits until Prefect has heard of what it did."""
BATCHES_LOOK_S: Final = 10.0
"""Seconds between two polls for due batches without an event; the same as Prefect's own poll."""


class ComfyWorker(PrefectWorker):
    """Runs generations on the ComfyUI of this machine. Only async flows.

    At its start it lets go of what a dead process of its name was doing. The reconciler does so for
    other workers once their lease has lapsed.
    """

    type: ClassVar[str] = "comfyui"  # type: ignore[misc]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        settings = Settings()
        kwargs["limit"] = kwargs.get("limit") or settings.worker.concurrency
        kwargs["name"] = kwargs.get("name") or settings.worker.name or socket.gethostname()
        super().__init__(*args, **kwargs)
        self._settings = settings
        self._slots = Slots(kwargs["limit"])
        self._runtime: Runtime | None = None
        self._flows = DeployedFlows()
        self._look_lock = asyncio.Lock()
        self._look_again = Loop(
            "looking for runs",
            self.get_and_submit_flow_runs,
            every_s=None,  # the stock poll looks again in any case
            expected=(Exception,),
        )
        self._stream = EventStream(self, self._listens, self._hear)
        self._turns = Turns()
        self._last_model = LastModel()
        self._batches_looked_at = float("-inf")
        self._take_over_from = settings.prefect.take_over
        self._looking_at_sources: Loop
        self._fetching: Answering
        self._offering: Offering
        self._upkeep: Upkeep
        self._foreign: ForeignRuns
        self._registration: Registration
        self._gate: GateWatch
        self._taking: Taking
        self._carrying: Carrying
        self._leading: Leading
        self._telling: Telling
        self._joining: Joining
        self._operators: Operators

    @property
    def runtime(self) -> Runtime:
        """Returns what all runs share. Raises RuntimeError unless the worker is set up."""
        if self._runtime is None:
            raise RuntimeError("the worker is not set up")
        return self._runtime

    # --- life

    async def setup(self) -> None:
        """Open the store and the ComfyUI session, let go of what was left, start the loops.

        Raises OtherStoreError when the pool belongs to another store; nothing was touched then.
        While Prefect is away it registers later, unless it is the first worker of its pool: that
        one waits for Prefect.
        """
        runtime = await self.keep_open(
            open_runtime(self._settings, self.name, self._reachable_changed)
        )
        await self._build(runtime)
        self._runtime = runtime
        ask_once_where_results_go()
        keep_parameters_out_of_logs()
        try:
            is_there = await self._registration.claim_first()
            await super().setup()
            if is_there:
                await self._registration.begin()
        except BaseException:
            await self.close_opened()
            raise
        await self._gate.recall()
        await self._upkeep.recall()
        # Some may have lapsed: the reconciler, which has watched them, judges those.
        await let_go_of_the_dead(self._runtime.store, await self._upkeep.workers())
        self._offering.back()
        if is_there:
            await self._registration.begun()
            self._stream.start()
        else:
            self._registration.loop.wake()
        for loop in self._loops:
            loop.start()
        gc_tuning.started()

    async def _registered(self) -> None:
        """Take back batches that no living worker executes, once Prefect has this worker."""
        living, runtime = await self._upkeep.workers(), self.runtime
        alone = living == {runtime.lease.holder}
        await take_batches_back(self.client, self.pool_name, runtime.store, living, alone=alone)

    def _registered_again(self) -> None:
        self._flows.forget_deployments()
        self._look_again.wake()
        self._gate.wake()

    async def _build(self, runtime: Runtime) -> None:
        """Make the worker's parts."""
        store, comfy = runtime.store, runtime.session.client
        runs = await self.keep_open(FlowRuns(str(PREFECT_API_URL.value()), store.identity))
        self._foreign = ForeignRuns(store, self._put_foreign_back)
        self._registration = Registration(
            *(self, store, self._stream, self.claim_pool),
            *(self._registered, self._registered_again),
        )
        self._upkeep = Upkeep(runtime, self._foreign.by_store, self._slots.number, self._last_model)
        self._gate = GateWatch(
            *(store, lambda: self.client, self.pool_name, self._gate_changed),
            Endpoint(runs.client),
        )
        self._carrying = Carrying(runtime, self, self._flows, self._make_room)
        self._leading = Leading(runtime, runs, self, self._carrying)
        self._offering = Offering(store, comfy, self._look)
        self._taking = Taking(
            runtime,
            self._slots,
            lambda: self._gate.now,
            self._leading.begin,
            self._offering,
            self._last_model,
            self._settings.worker.model_load_s,
        )
        self._telling = Telling(runtime, self._leading)
        self._joining = Joining(runtime, runs.states, self._refuse)
        self._operators = Operators(runtime, runs, self, self._carrying)
        self._looking_at_sources = looking_at_sources(store, comfy)
        self._fetching = Answering(store, comfy)
        runtime.lacks = self._offering.lacks
        runtime.attempts.on_rendered = self._rendered
        runtime.attempts.on_over = self._attempt_over
        self.enter(self._taking.listening())

    async def claim_pool(self, client: PrefectClient) -> None:
        """Make sure that the pool is this store's. Raises OtherStoreError."""
        try:
            await claim_pool(
                client,
                self.pool_name,
                self.runtime.store.identity,
                take_over_from=self._take_over_from,
            )
        except OtherStoreError:
            self._foreign.owns_pool = False
            raise
        self._take_over_from = None  # once: it may be taken from this store in turn
        self._foreign.owns_pool = True

    async def teardown(self, *exc_info: Any) -> None:
        """Stop the loops and close everything. Runs were drained before."""
        if self._runtime is not None:
            loops = (loop.stop() for loop in self._loops)
            await asyncio.gather(self._stream.stop(), *loops)
            with contextlib.suppress(StoreError):
                await self._runtime.store.registry.worker_stopped(self.name)
        await super().teardown(*exc_info)
        self._runtime = None

    @property
    def _loops(self) -> tuple[Loop | Answering, ...]:
        return (
            self._look_again,
            self._registration.loop,
            self._gate.loop,
            self._taking.loop,
            self._telling.loop,
            self._joining.loop,
            self._operators.loop,
            *self._offering.loops,
            self._looking_at_sources,
            self._fetching,
            self._upkeep.heartbeat,
            self._upkeep.strays,
            self._foreign.putting_back,
        )

    async def superseded(self) -> None:
        """Wait until another process has this worker's name and lease, or a store the pool."""
        while self._runtime is None:  # noqa: ASYNC110 - set up a moment after the start
            await asyncio.sleep(0.1)
        lease_lost = self._runtime.lease.superseded
        waiting = [
            asyncio.create_task(one.wait()) for one in (lease_lost, self._registration.pool_lost)
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if not lease_lost.is_set():
            return  # said by the loop that noticed it
        self.logger.error(
            "The lease of %s was lost: another process uses this name, or this one was suspended "
            "for too long. Stopping.",
            self.name,
        )

    async def drain(self) -> None:
        """Take no more runs, let running ones end, and requeue those that do not end in time.

        It waits neither for a store nor for a Prefect that is away: the lease lapses.
        """
        self._carrying.is_stopping = True
        await self._taking.stop()
        for flow_run_id in self._carrying.batch_runs & self.under_way:  # too long to wait for
            self._carrying.put_back(flow_run_id)
        attempts = self.runtime.attempts
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.worker.drain_s):
                await attempts.idle.wait()
                await self.idle.wait()
        self._carrying.put_all_back()
        await attempts.stop(STOPPING_S)
        await self._leading.stop(TELLING_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOPPING_S):
                await self.idle.wait()

    # --- taking runs

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Take due runs from Prefect: batches always, generations while it decides about them."""
        async with self._look_lock:
            if self._taking.is_stopped or not self._registration.is_done:
                return []
            return await super().get_and_submit_flow_runs()

    async def find_due(self) -> list[WorkerFlowRunResponse]:
        """Returns runs that may be taken. Under a limit and without room, batches only."""
        if not self._gate.now.is_strict or self._has_room:
            return await self.ask_for_due()
        now = time.monotonic()
        if now - self._batches_looked_at < BATCHES_LOOK_S:
            return []
        self._batches_looked_at = now
        with contextlib.suppress(ObjectNotFound):
            return await self.client.get_scheduled_flow_runs_for_work_pool(
                work_pool_name=self.pool_name,
                scheduled_before=datetime.now(UTC),
                work_queue_names=[BATCH_QUEUE],
            )
        return []

    @property
    def _has_room(self) -> bool:
        is_there = self.runtime.session.reachable and self._offering.is_known
        return is_there and self._slots.has_room

    def _rendered(self, attempt: Attempt) -> None:
        for holder in _holders(attempt):
            self._slots.rendered(holder)
        self._fill_room()

    def _attempt_over(self, attempt: Attempt) -> None:
        self._upkeep.measure()
        if attempt.lacked:  # else it would be taken again at once
            self._offering.back()
        for holder in _holders(attempt):
            self._make_room(holder)

    def _make_room(self, holder: UUID) -> None:
        self._slots.free(holder)
        self._fill_room()

    def _fill_room(self) -> None:
        """Take at once what there is room for."""
        self._taking.room()
        if self._gate.now.is_strict:
            self._look_again.wake()

    def _look(self) -> None:
        """Take at once what can be done now."""
        self._taking.loop.wake()
        if self._gate.now.is_strict:
            self._look_again.wake()

    def _gate_changed(self, gate: Gate) -> None:
        for said in (gate.paused.pool, *gate.paused.queues.values(), *gate.limits):
            if said:
                self.logger.info("%s", said)
        self._taking.loop.wake()
        self._look_again.wake()

    async def choose(self, due: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        """Returns every batch, and under a limit as many generations as there are slots.

        Those are in fair order. Without a limit, generations join the store's queue. Runs of other
        flows than Easel's are taken too, to be ended: they need no slot.
        """
        foreign = await self._foreign.among([entry.flow_run for entry in due])
        taken: list[FlowRun] = []
        waiting: list[WorkerFlowRunResponse] = []
        for entry in due:
            if entry.flow_run.id in foreign:
                continue
            flow = await self._flow_name(entry.flow_run)
            if flow == BULK:
                self._carrying.batch_runs.add(entry.flow_run.id)
            if flow in {BULK, None}:
                taken.append(entry.flow_run)
            elif self._gate.now.is_strict:
                waiting.append(entry)
            else:
                self._joining.note(entry.flow_run)
        if self._taking.is_stopped:
            return []
        waiting = [entry for entry in waiting if not self._is_busy_with(entry.flow_run)]
        return [*taken, *self._in_fair_order(await self._can_be_done(waiting))]

    async def _can_be_done(
        self, waiting: list[WorkerFlowRunResponse]
    ) -> list[WorkerFlowRunResponse]:
        """Returns those for which this worker's ComfyUI has everything, as far as that is known."""
        found = [(entry, generation_of(entry.flow_run) or entry.flow_run.id) for entry in waiting]
        needs = await self.runtime.store.queue.needs([one for _, one in found]) if found else {}
        return [entry for entry, one in found if not self._offering.lacks(needs.get(one))]

    def _is_busy_with(self, run: FlowRun) -> bool:
        """Returns whether this worker has the run's attempt, or has taken it a moment ago."""
        return run.id in self.under_way or self.runtime.attempts.of_run(run.id) is not None

    def _refuse(self, run: FlowRun) -> None:
        """Execute a run that cannot join the queue: its flow says why."""
        if not self._taking.is_stopped and not self._is_busy_with(run):
            self.take(run)

    def _in_fair_order(self, due: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        runs = {entry.flow_run.id: entry.flow_run for entry in due}
        waiting = {entry.flow_run.id: _due(entry) for entry in due}
        taken: list[FlowRun] = []
        while waiting and self._has_room:
            turn = self._turns.choose(tuple(waiting.values()), self._last_model.name)
            del waiting[turn.run]
            self._last_model.note(turn.model)
            self._slots.take(turn.run)
            taken.append(runs[turn.run])
        return taken

    async def _flow_name(self, flow_run: FlowRun) -> str | None:
        """Returns which of Easel's flows the run is of, None for one of another flow."""
        try:
            return await self._flows.name_of(self.client, flow_run)
        except ForeignFlowError:
            return None

    async def carry_out(self, flow_run: FlowRun) -> None:
        """Propose Pending, execute the run, clean up."""
        await self._carrying.carry_out(flow_run)

    # --- events

    def on_cancelling(self, flow_run_id: UUID) -> None:
        """Stop the run, or note that it is to be stopped before it runs."""
        if flow_run_id not in self.under_way:
            return
        self._carrying.on_cancelling(flow_run_id)
        self._operators.note(flow_run_id)

    def _reachable_changed(self, reachable: bool, detail: str) -> None:
        level = self.logger.info if reachable else self.logger.warning
        level("ComfyUI is %s: %s", "reachable" if reachable else "not reachable", detail)
        self._look_again.wake()
        if self._runtime is not None:  # else the first heartbeat will say it
            self._taking.loop.wake()
            self._upkeep.heartbeat.wake()
            if reachable:
                self._offering.back()
                self._looking_at_sources.wake()

    def _listens(self) -> None:
        """The event stream is open: look for what was missed."""
        self._look_for_batches()
        self._gate.wake()
        self._leading.look_again()

    def _hear(self, event: Event) -> None:
        if event.event in events.GATE_EVENTS:
            self._gate.wake()
            return
        run = events.flow_run_of(event)
        if run is not None and (events.is_cancelled(event) or events.is_paused(event)):
            self._operators.note(run)
        if events.is_of_queue(event, BATCH_QUEUE):
            self._look_for_batches()
        elif self._gate.now.is_strict or not events.waits_in_the_store(event, PRIORITIES):
            self._look_again.wake()

    def _look_for_batches(self) -> None:
        self._batches_looked_at = float("-inf")
        self._look_again.wake()

    async def _put_foreign_back(self, run: FlowRun, pause_s: float) -> None:
        await settle_run(self.client, run, put_back_for(pause_s))


def _holders(attempt: Attempt) -> tuple[UUID, ...]:
    """Returns who may have the attempt's slot: its generation, or the run that Prefect gave."""
    generation_id, run_id = attempt.claim.generation_id, attempt.flow_run_id
    return (generation_id,) if run_id is None else (generation_id, run_id)


def _due(entry: WorkerFlowRunResponse) -> Due:
    """Returns the run for the fair order; a run started by hand may name no model."""
    request = entry.flow_run.parameters.get("request")
    model = request.get("model") if isinstance(request, dict) else None
    return Due(entry.flow_run.id, entry.work_queue_id, model)
