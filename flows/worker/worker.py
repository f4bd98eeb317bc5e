"""The worker type ``comfyui``: one worker beside one ComfyUI, runs inside its own process.

A stock process worker starts an interpreter for each run and polls every ten seconds: 7–12 s pass
before ComfyUI sees the prompt, and the GPU idles 70 % of the time. This one is woken by Prefect's
events at once, runs flows as asyncio tasks, and renders two at a time, so that ComfyUI always has
the next prompt queued behind the one it renders; no deeper, so that priority stays meaningful.
A run whose prompt has left ComfyUI makes room for the next while it keeps its pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from uuid import UUID

import anyio
import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.exceptions import Abort, ObjectNotFound, Pause
from prefect.states import AwaitingRetry, Cancelled, Failed

from core import gc_tuning
from core.loop import Loop
from core.settings import Settings
from core.status import FINAL
from flows.attempts.attempt import StopReason
from flows.errors import ForeignFlowError, OtherStoreError
from flows.models import looking_at_models
from flows.nodes import looking_at_nodes
from flows.pipeline import Assignment
from flows.prefect.abandoned_runs import settle_run
from flows.prefect.deployments import prepare_pool, register_deployments
from flows.prefect.foreign_runs import put_back_for, was_ended_elsewhere
from flows.prefect.pool_owner import claim_pool
from flows.prefect.private.engine import (
    ask_once_where_results_go,
    keep_parameters_out_of_logs,
)
from flows.prefect.private.worker import PrefectWorker
from flows.prefect.runs import BATCH_QUEUE, BULK_QUEUE, DEPLOYMENT, parse_idempotency_key
from flows.prefect.stored_deployments import deployment_by_name
from flows.retries import patiently
from flows.runtime import Runtime, open_runtime, use_runtime
from flows.sources import answering_requests, looking_at_sources
from flows.worker.deployed_flows import BULK, DeployedFlows
from flows.worker.engine import RunningFlow
from flows.worker.events import GATE_EVENTS, WAKING_EVENTS, is_due, is_of_queue
from flows.worker.fair_order import Due, Turns
from flows.worker.foreign_runs import ForeignRuns
from flows.worker.gate import GateWatch
from flows.worker.heartbeat import Upkeep
from flows.worker.prefetch import Ahead
from flows.worker.recovery import take_back
from store.errors import StoreError

STOPPING_S: Final = 2.0
"""How long a worker that stops waits for a store that is away."""
REFUSAL_S: Final = 10.0
"""How long the worker waits for Prefect's answer why it refused a run."""
KEEPING_MOST: Final = 4
"""Maximum runs still saving their pictures when another is taken: a full disk stops new work."""
BATCHES_LOOK_S: Final = 10.0
"""Seconds between two polls for due batches without an event; the same as Prefect's own poll."""
REGISTERED_LOOK_S: Final = 10.0
"""Seconds between two checks that Prefect still has the pool and the deployment."""


class ComfyWorker(PrefectWorker):
    """Runs generations on the ComfyUI of this machine. Only async flows.

    At its start it requeues the runs that a dead process of its name left running. The reconciler
    requeues those of other workers once their lease has lapsed.
    """

    type: ClassVar[str] = "comfyui"  # type: ignore[misc]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        settings = Settings()
        kwargs["limit"] = kwargs.get("limit") or settings.worker.concurrency
        kwargs["name"] = kwargs.get("name") or settings.worker.name or socket.gethostname()
        super().__init__(*args, **kwargs)
        self._settings = settings
        self._runtime: Runtime | None = None
        self._flows = DeployedFlows()
        self._running: dict[UUID, RunningFlow] = {}
        self._cancelled_early: set[UUID] = set()
        self._look_lock = asyncio.Lock()
        self._look_again = Loop(
            "looking for runs",
            self.get_and_submit_flow_runs,
            every_s=None,  # the stock poll looks again in any case
            expected=(Exception,),
        )
        self._registration = Loop(
            "registering pool and deployments",
            self._stay_registered,
            every_s=REGISTERED_LOOK_S,
            expected=(Exception,),
        )
        self._listened_pool: UUID | None = None
        self._listening = self._new_listening()
        self._turns = Turns()
        self._ahead = Ahead()
        self._loaded: str | None = None
        self._batch_runs: set[UUID] = set()
        self._batches_looked_at = float("-inf")
        self._draining = False
        self._take_over_from = settings.prefect.take_over
        self._pool_lost = asyncio.Event()
        self._upkeep: Upkeep
        self._foreign: ForeignRuns
        self._nodes: Loop
        self._gate: GateWatch

    @property
    def runtime(self) -> Runtime:
        """Returns what all runs share. Raises RuntimeError unless the worker is set up."""
        if self._runtime is None:
            raise RuntimeError("the worker is not set up")
        return self._runtime

    # --- life

    async def setup(self) -> None:
        """Open the store and the ComfyUI session, requeue leftover runs, start the loops.

        Raises OtherStoreError when the pool belongs to another store; nothing was touched then.
        """
        self._runtime = await self.keep_open(
            open_runtime(self._settings, self.name, self._reachable_changed)
        )
        self._runtime.attempts.on_rendered = self._make_room
        self._foreign = ForeignRuns(self._runtime.store, self._put_foreign_back)
        self._upkeep = Upkeep(self._runtime, self._foreign.by_store)
        store, comfy = self._runtime.store, self._runtime.session.client
        self._gate = GateWatch(store, lambda: self.client, self.pool_name)
        self._nodes = looking_at_nodes(store, comfy)
        self._models = looking_at_models(store, comfy)
        self._offered = looking_at_sources(store, comfy)
        self._fetching = answering_requests(store, comfy)
        ask_once_where_results_go()
        keep_parameters_out_of_logs()
        try:
            async with get_client() as client:  # before this worker shows up in the pool
                await self.claim_pool(client)
            await super().setup()
            await prepare_pool(self.client, self.pool_name, self.type)
            await self.claim_pool(self.client)
        except OtherStoreError:
            await self.close_opened()
            raise
        await register_deployments(self.client)
        await self._gate.recall()
        alive = await self._upkeep.workers()
        await take_back(
            self.client,
            self.pool_name,
            self._runtime.store,
            alive=alive,
            alone=self._upkeep.alone,
        )
        for loop in self._loops:
            loop.start()
        gc_tuning.started()

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
            await asyncio.gather(*(loop.stop() for loop in self._loops))
            with contextlib.suppress(StoreError):
                await self._runtime.store.registry.forget_worker(self.name)
        await super().teardown(*exc_info)
        self._runtime = None

    @property
    def _loops(self) -> tuple[Loop, ...]:
        own = self._listening, self._look_again, self._registration
        return (
            *own,
            self._gate.loop,
            self._nodes,
            self._models,
            self._offered,
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
        waiting = [asyncio.create_task(one.wait()) for one in (lease_lost, self._pool_lost)]
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
        """Take no more runs, let running ones end, and requeue those that do not end in time."""
        self._draining = True
        for flow_run_id in self._batch_runs & self._running.keys():  # too long to wait for
            self._put_back_running(flow_run_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.worker.drain_s):
                await self.idle.wait()
        for flow_run_id in tuple(self._running):
            self._put_back_running(flow_run_id)
        await self.idle.wait()

    def _put_back_running(self, flow_run_id: UUID) -> None:
        self.runtime.stop_reasons[flow_run_id] = "release"
        self._running[flow_run_id].stop("release")

    # --- taking runs

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Take due runs: generations if a slot is free and ComfyUI answers, batches always."""
        async with self._look_lock:
            if self._draining:
                return []
            taken = await super().get_and_submit_flow_runs()
            if self._ahead.news and (self._has_room or self._looks_ahead):
                taken += await super().get_and_submit_flow_runs()
            return taken

    async def find_due(self) -> list[WorkerFlowRunResponse]:
        """Returns runs that may be taken: from the prefetch if it is fresh, else from Prefect.

        Without room for a generation, Prefect is asked for batches only, and for the prefetch.
        """
        if self._has_room:
            known = self._ahead.runs if self._upkeep.alone else ()
            return list(known) or await self._ask()
        if self._looks_ahead:
            return await self._ask()
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
    def _looks_ahead(self) -> bool:
        """Whether to prefetch now. Several workers would prefetch the same runs, so none does."""
        alone, reachable = self._upkeep.alone, self.runtime.session.reachable
        return alone and reachable and self._ahead.is_to_be_refreshed

    async def _ask(self) -> list[WorkerFlowRunResponse]:
        self._ahead.asking()
        self._batches_looked_at = time.monotonic()
        return await self.ask_for_due()

    @property
    def _has_room(self) -> bool:
        taken = len(self.under_way - self._batch_runs)
        keeping = taken - self.limiter.borrowed_tokens
        return (
            self.limiter.available_tokens > 0
            and keeping < KEEPING_MOST
            and self.runtime.session.reachable
        )

    def _make_room(self, flow_run_id: UUID) -> None:
        self.free_slot(flow_run_id)
        self._look_again.wake()

    async def choose(self, due: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        """Returns every batch, and as many generations as there are slots, in fair order.

        Runs of other flows than Easel's are taken too, to be ended: they need no slot.
        """
        foreign = await self._foreign.among([entry.flow_run for entry in due])
        due = [entry for entry in due if entry.flow_run.id not in foreign]
        taken: list[FlowRun] = []
        waiting: dict[UUID, Due] = {}
        for entry in due:
            flow = await self._flow_name(entry.flow_run)
            if flow == BULK:
                self._batch_runs.add(entry.flow_run.id)
            if flow in {BULK, None}:
                taken.append(entry.flow_run)
            else:
                waiting[entry.flow_run.id] = _due(entry)
        runs, any_generation = {entry.flow_run.id: entry.flow_run for entry in due}, bool(waiting)
        while waiting and self._has_room:
            turn = self._turns.choose(tuple(waiting.values()), self._loaded)
            del waiting[turn.run]
            self._loaded = turn.model or self._loaded
            self.take_slot(turn.run)
            taken.append(runs[turn.run])
        if any_generation:
            self._ahead.left(entry for entry in due if entry.flow_run.id in waiting)
        return taken

    async def _flow_name(self, flow_run: FlowRun) -> str | None:
        """Returns which of Easel's flows the run is of, None for one of another flow."""
        try:
            return await self._flows.name_of(self.client, flow_run)
        except ForeignFlowError:
            return None

    # --- one run

    async def carry_out(self, flow_run: FlowRun) -> None:
        """Propose Pending and run; the early start submits the prompt meanwhile."""
        use_runtime(self.runtime)
        try:
            await self._flows.name_of(self.client, flow_run)  # known since the run was chosen
            self._begin_early_start(flow_run)
            if await self.propose_pending(flow_run):
                await self.execute(flow_run)
        except ForeignFlowError as error:
            await self._refuse(flow_run, error)
        except Exception as error:
            self.logger.exception("Flow run %s could not be run", flow_run.id)
            await self.propose_crashed(flow_run, error)
        finally:
            with anyio.CancelScope(shield=True):
                await self._clean_up(flow_run)

    async def execute(self, flow_run: FlowRun) -> bool:
        """Run the flow. Returns whether Prefect knows how it ended."""
        running = RunningFlow(await self._flows.flow_of(self.client, flow_run), flow_run)
        self._running[flow_run.id] = running
        if flow_run.id in self._cancelled_early:
            running.stop("cancel")
        try:
            error = await running.run()
        finally:
            del self._running[flow_run.id]
        if running.cancelling:  # Running was refused, perhaps before the cancel's event came
            self._cancelled_early.add(flow_run.id)
        if error is None or running.settled or isinstance(error, Abort | Pause):
            return True
        if running.engine.stop_reason is not None:
            return True  # stopped before it was Running: the engine stumbles, _clean_up settles
        if _is_prefects(error):
            # It may have ended well: Crashed would stay. The reconciler reports what the row says.
            self.logger.warning(
                "Prefect was not told how flow run %s ended: %r", flow_run.id, error
            )
            return False
        self.logger.error("Flow run %s ended badly", flow_run.id, exc_info=error)
        await self.propose_crashed(flow_run, error)
        return False

    async def _refuse(self, flow_run: FlowRun, error: ForeignFlowError) -> None:
        """End the run as failed, whatever its retries say: another try would be the same."""
        self.logger.error("Flow run %s is refused: %s", flow_run.id, error)
        state: State = Failed(message=str(error))
        with contextlib.suppress(ObjectNotFound):
            await self.client.set_flow_run_state(flow_run.id, state, force=True)

    def _begin_early_start(self, flow_run: FlowRun) -> None:
        """Unless there are other workers: Prefect might give the run to one of those."""
        made_for = parse_idempotency_key(flow_run.idempotency_key)
        if made_for is None or not self._upkeep.alone:
            return
        generation_id, attempt = made_for
        self.runtime.attempts.begin_early(
            Assignment(
                generation_id,
                flow_run.id,
                attempt,
                deployment_id=flow_run.deployment_id,
                rerun=flow_run.run_count > 0,
            )
        )

    async def _clean_up(self, flow_run: FlowRun) -> None:
        attempts, reason = self.runtime.attempts, self._stop_reason(flow_run)
        if reason is None and attempts.is_going(flow_run.id):
            reason = "cancel" if await self._was_cancelled(flow_run) else None
        for settle in (
            attempts.stop(flow_run.id, reason or "release"),
            self._settle_stopped(flow_run, reason),
            self._give_back(flow_run),
            self._give_batch_back(flow_run),
        ):
            try:
                await settle
            except Exception:
                self.logger.exception("Flow run %s left something behind", flow_run.id)
        attempts.forget(flow_run.id)
        self.runtime.stop_reasons.pop(flow_run.id, None)
        self._cancelled_early.discard(flow_run.id)
        self._batch_runs.discard(flow_run.id)
        self.finish(flow_run.id)
        self._look_again.wake()

    async def _was_cancelled(self, flow_run: FlowRun) -> bool:
        """Returns whether Prefect refused the run because it is cancelled.

        Prefect cancels a scheduled run at once, without a Cancelling event. False when it does not
        answer: then the reconciler judges.
        """
        try:
            async with asyncio.timeout(STOPPING_S if self._draining else REFUSAL_S):
                now = await self.client.read_flow_run(flow_run.id)
        except Exception as error:  # noqa: BLE001 - the rest of the clean-up must follow
            self.logger.warning("Why flow run %s was refused is not known: %r", flow_run.id, error)
            return False
        if now.state is None or was_ended_elsewhere(now.state):
            return False
        return now.state.is_cancelled() or now.state.is_cancelling()

    async def _give_back(self, flow_run: FlowRun) -> None:
        """Release the attempt if this worker still holds it; the reconciler handles the rest."""
        store, mine = self.runtime.store, self.runtime.lease.holder
        # A worker that stops does not wait for the store: its lease lapses, which says the same.
        async with asyncio.timeout(STOPPING_S if self._draining else None):
            left = await patiently(store.generations.of_run, flow_run.id)
            if left is None or left.holder != mine or left.generation.status in FINAL:
                return
            if await patiently(store.transitions.give_back, flow_run.id, mine):
                self.logger.warning(
                    "Flow run %s ended with its generation still running", flow_run.id
                )

    async def _give_batch_back(self, flow_run: FlowRun) -> None:
        """Release the batch of this run: the run is over, or goes to another worker."""
        if flow_run.id not in self._batch_runs:
            return
        store, mine = self.runtime.store, self.runtime.lease.holder
        async with asyncio.timeout(STOPPING_S if self._draining else None):
            batch = await patiently(store.batches.of_run, flow_run.id)
            if batch is not None:
                await patiently(store.batch_transitions.let_go, batch.id, mine)

    # --- events

    def on_cancelling(self, flow_run_id: UUID) -> None:
        """Stop the run, or note that it is to be stopped before it runs."""
        running = self._running.get(flow_run_id)
        if running is not None:
            self.runtime.stop_reasons.setdefault(flow_run_id, "cancel")
            running.stop("cancel")
        elif flow_run_id in self.under_way:
            self._cancelled_early.add(flow_run_id)

    def _stop_reason(self, flow_run: FlowRun) -> StopReason | None:
        if flow_run.id in self._cancelled_early:
            return "cancel"
        return self.runtime.stop_reasons.get(flow_run.id)

    async def _settle_stopped(self, flow_run: FlowRun, reason: StopReason | None) -> None:
        """A stop that comes between Pending and Running leaves the run as it was: finish it."""
        if reason is None:
            return
        with contextlib.suppress(ObjectNotFound):
            now = await self.client.read_flow_run(flow_run.id)
            if now.state is None:
                return
            if now.state.is_cancelling():
                state: State = Cancelled(message="Cancelled before it started.")
            elif reason == "release" and (now.state.is_pending() or now.state.is_running()):
                state = AwaitingRetry(message="The worker stopped.")
            else:
                return
            await self.client.set_flow_run_state(flow_run.id, state, force=True)

    def _reachable_changed(self, reachable: bool, detail: str) -> None:
        level = self.logger.info if reachable else self.logger.warning
        level("ComfyUI is %s: %s", "reachable" if reachable else "not reachable", detail)
        self._look_again.wake()
        if self._runtime is not None:  # else the first heartbeat will say it
            self._upkeep.heartbeat.wake()
            if reachable:
                self._nodes.wake()
                self._models.wake()
                self._offered.wake()

    def _new_listening(self) -> Loop:
        return Loop(
            "the event stream", self._listen, every_s=1.0, first_s=0.0, expected=(Exception,)
        )

    async def _listen(self) -> None:
        """Wake the loops on Prefect's events; look once after each reconnect for missed ones."""
        self._listened_pool = self.work_pool.id
        names = EventNameFilter(name=[*WAKING_EVENTS, *GATE_EVENTS])
        wanted = EventFilter(event=names, any_resource=self.this_pool)
        async with get_events_subscriber(filter=wanted) as events:
            self._look_for_batches()
            self._gate.wake()
            async for event in events:
                if event.event in GATE_EVENTS:
                    self._gate.wake()
                    continue
                if is_of_queue(event, BATCH_QUEUE):
                    self._look_for_batches()
                elif is_of_queue(event, BULK_QUEUE) and is_due(event):
                    self._ahead.news = True  # runs that were prefetched may go first
                else:
                    self._ahead.outdate()
                self._look_again.wake()

    def _look_for_batches(self) -> None:
        self._batches_looked_at = float("-inf")
        self._ahead.outdate()
        self._look_again.wake()

    async def _stay_registered(self) -> None:
        """Register again if Prefect came back with another database, without our pool."""
        try:
            pool = await self.client.read_work_pool(self.pool_name)
            await deployment_by_name(self.client, DEPLOYMENT)
            # The worker's channel may have told of another pool before: what listens has to follow.
            if pool.id == self.work_pool.id == self._listened_pool:
                await self._stay_owner()
                return
        except ObjectNotFound:
            self.logger.warning("Prefect has no such pool or deployment: registering again")
        await prepare_pool(self.client, self.pool_name, self.type)
        await self._stay_owner()
        if self._pool_lost.is_set():
            return
        await register_deployments(self.client)
        self._flows.forget_deployments()
        await self.sync_with_backend()
        self.use_pool(await self.client.read_work_pool(self.pool_name))
        former, self._listening = self._listening, self._new_listening()
        self._listening.start()
        self._look_again.wake()
        self._gate.wake()
        await former.stop()  # its filter names the former pool

    async def _stay_owner(self) -> None:
        """Stop when another store has taken the pool over."""
        try:
            await self.claim_pool(self.client)
        except OtherStoreError as error:
            self.logger.error("Stopping: %s", error)  # noqa: TRY400 - no fault of this program
            self._pool_lost.set()

    async def _put_foreign_back(self, run: FlowRun, pause_s: float) -> None:
        await settle_run(self.client, run, put_back_for(pause_s))


def _is_prefects(error: BaseException) -> bool:
    """Returns whether it comes from the connection to Prefect, or from Prefect's server."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.is_server_error
    return isinstance(error, httpx.TransportError)


def _due(entry: WorkerFlowRunResponse) -> Due:
    """Returns the run for the fair order; a run started by hand may name no model."""
    request = entry.flow_run.parameters.get("request")
    model = request.get("model") if isinstance(request, dict) else None
    return Due(entry.flow_run.id, entry.work_queue_id, model)
