"""Carries out the flow runs that Prefect gave this worker: batches, and generations under a limit.

A generation's run that the worker leads itself (``leading.py``) is executed here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

import anyio
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Abort, ObjectNotFound, Pause
from prefect.states import AwaitingRetry, Cancelled, Failed

from core.status import FINAL
from flows.attempts.attempt import StopReason
from flows.errors import ForeignFlowError
from flows.prefect.foreign_runs import was_ended_elsewhere
from flows.prefect.runs import is_absence
from flows.retries import patiently, until_given_up
from flows.runtime import Runtime, use_runtime
from flows.worker.deployed_flows import DeployedFlows
from flows.worker.engine import RunningFlow
from flows.worker.runner import Runner

STOPPING_S: Final = 2.0
"""How long a worker that stops waits for a store that is away."""
REFUSAL_S: Final = 10.0
"""How long the worker waits for Prefect's answer why it refused a run."""
_log = logging.getLogger(__name__)


class Carrying:
    """Use from one event loop. ``on_free`` is called after each run that was carried out."""

    def __init__(
        self,
        runtime: Runtime,
        runner: Runner,
        flows: DeployedFlows,
        on_free: Callable[[UUID], None],
    ) -> None:
        self.is_stopping = False
        """Whether the worker stops: then it waits for nothing for long."""
        self.batch_runs: Final[set[UUID]] = set()
        """Those of the runs under way that are of batches."""
        self._runtime = runtime
        self._runner = runner
        self._flows = flows
        self._on_free = on_free
        self._running: dict[UUID, RunningFlow] = {}
        self._cancelled_early: set[UUID] = set()

    # --- one run

    async def carry_out(self, flow_run: FlowRun) -> None:
        """Propose Pending, run, and leave nothing behind."""
        with until_given_up(self._runtime.attempts.given_up):
            await self._carry_out(flow_run)

    async def _carry_out(self, flow_run: FlowRun) -> None:
        use_runtime(self._runtime)
        try:
            await self._flows.name_of(self._runner.client, flow_run)  # known since it was chosen
            if await self._runner.propose_pending(flow_run):
                await self.execute(flow_run)
        except ForeignFlowError as error:
            await self._refuse(flow_run, error)
        except Exception as error:  # noqa: BLE001 - it is told to Prefect
            _log.exception("Flow run %s could not be run", flow_run.id)
            await self._runner.propose_crashed(flow_run, error)
        finally:
            with anyio.CancelScope(shield=True):
                await self._clean_up(flow_run)

    async def execute(self, flow_run: FlowRun) -> bool:
        """Run the flow of a Pending run. Returns whether Prefect knows how it ended."""
        use_runtime(self._runtime)
        running = RunningFlow(await self._flows.flow_of(self._runner.client, flow_run), flow_run)
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
        if is_absence(error):
            # It may have ended well: Crashed would stay. What the row says is told later.
            _log.warning("Prefect was not told how flow run %s ended: %r", flow_run.id, error)
            return False
        _log.error("Flow run %s ended badly", flow_run.id, exc_info=error)
        await self._runner.propose_crashed(flow_run, error)
        return False

    async def _refuse(self, flow_run: FlowRun, error: ForeignFlowError) -> None:
        """End the run as failed, whatever its retries say: another try would be the same."""
        _log.error("Flow run %s is refused: %s", flow_run.id, error)
        state: State = Failed(message=str(error))
        with suppress(ObjectNotFound):
            await self._runner.client.set_flow_run_state(flow_run.id, state, force=True)

    def has_begun_with(self, flow_run_id: UUID, state_id: UUID) -> bool:
        """Returns whether the run executes here, and this worker gave it that state of Running."""
        running = self._running.get(flow_run_id)
        return running is not None and running.has_begun_with(state_id)

    # --- stopping

    def on_cancelling(self, flow_run_id: UUID) -> None:
        """Stop the run, or note that it is to be stopped before it runs."""
        if flow_run_id in self._running:
            self._stop(flow_run_id, "cancel")
        else:
            self._cancelled_early.add(flow_run_id)

    def put_back(self, flow_run_id: UUID) -> None:
        """Stop the run for another worker, if it is running."""
        if flow_run_id in self._running:
            self._stop(flow_run_id, "release")

    def put_all_back(self) -> None:
        """Stop all that run for other workers."""
        for flow_run_id in tuple(self._running):
            self.put_back(flow_run_id)

    def _stop(self, flow_run_id: UUID, reason: StopReason) -> None:
        self._runtime.stop_reasons.setdefault(flow_run_id, reason)
        self._running[flow_run_id].stop(reason)

    def is_stopped(self, flow_run_id: UUID) -> bool:
        """Returns whether the run was stopped, or is to be stopped before it runs."""
        return self._stop_reason(flow_run_id) is not None

    def forget(self, flow_run_id: UUID) -> None:
        """The run is over for this worker."""
        self._runtime.stop_reasons.pop(flow_run_id, None)
        self._cancelled_early.discard(flow_run_id)
        self.batch_runs.discard(flow_run_id)

    # --- after a run

    async def _clean_up(self, flow_run: FlowRun) -> None:
        attempt = self._runtime.attempts.of_run(flow_run.id)
        reason = self._stop_reason(flow_run.id)
        if reason is None and attempt is not None and not attempt.is_over:
            reason = "cancel" if await self._was_cancelled(flow_run) else "release"
        steps = [
            self._settle_stopped(flow_run, reason),
            self._give_back(flow_run),
            self._give_batch_back(flow_run),
        ]
        if attempt is not None:
            steps.insert(0, attempt.stop(reason or "release"))
        for step in steps:
            try:
                async with asyncio.timeout(self._patience_s):
                    await step
            except Exception:  # noqa: BLE001 - the other steps must follow
                _log.exception("Flow run %s left something behind", flow_run.id)
        if attempt is not None:
            self._runtime.attempts.forget(attempt)
        self.forget(flow_run.id)
        self._runner.finish(flow_run.id)
        self._on_free(flow_run.id)

    def _stop_reason(self, flow_run_id: UUID) -> StopReason | None:
        if flow_run_id in self._cancelled_early:
            return "cancel"
        return self._runtime.stop_reasons.get(flow_run_id)

    @property
    def _patience_s(self) -> float | None:
        # A worker that stops does not wait for the store: its lease lapses, which says the same.
        return STOPPING_S if self.is_stopping else None

    async def _was_cancelled(self, flow_run: FlowRun) -> bool:
        """Returns whether Prefect refused the run because it is cancelled.

        Prefect cancels a scheduled run at once, without a Cancelling event. False when it does not
        answer: then the reconciler judges.
        """
        try:
            async with asyncio.timeout(self._patience_s or REFUSAL_S):
                now = await self._runner.client.read_flow_run(flow_run.id)
        except Exception as error:  # noqa: BLE001 - the rest of the clean-up must follow
            _log.warning("Why flow run %s was refused is not known: %r", flow_run.id, error)
            return False
        if now.state is None or was_ended_elsewhere(now.state):
            return False
        return now.state.is_cancelled() or now.state.is_cancelling()

    async def _settle_stopped(self, flow_run: FlowRun, reason: StopReason | None) -> None:
        """A stop that comes between Pending and Running leaves the run as it was: finish it."""
        if reason is None:
            return
        client = self._runner.client
        with suppress(ObjectNotFound):
            now = await client.read_flow_run(flow_run.id)
            if now.state is None:
                return
            if now.state.is_cancelling():
                state: State = Cancelled(message="Cancelled before it started.")
            elif reason == "release" and (now.state.is_pending() or now.state.is_running()):
                state = AwaitingRetry(message="The worker stopped.")
            else:
                return
            await client.set_flow_run_state(flow_run.id, state, force=True)

    async def _give_back(self, flow_run: FlowRun) -> None:
        """Release the attempt if this worker still holds it; the reconciler handles the rest."""
        store, mine = self._runtime.store, self._runtime.lease.holder
        left = await patiently(store.generations.of_run, flow_run.id)
        if left is None or left.holder != mine or left.generation.status in FINAL:
            return
        if await patiently(store.flow_runs.give_back, flow_run.id, mine):
            _log.warning("Flow run %s ended with its generation still running", flow_run.id)

    async def _give_batch_back(self, flow_run: FlowRun) -> None:
        """Release the batch of this run: the run is over, or goes to another worker."""
        if flow_run.id not in self.batch_runs:
            return
        store, mine = self._runtime.store, self._runtime.lease.holder
        batch = await patiently(store.batches.of_run, flow_run.id)
        if batch is not None:
            await patiently(store.batch_transitions.let_go, batch.id, mine)
