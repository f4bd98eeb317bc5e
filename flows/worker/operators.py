"""What an operator does in Prefect to a run: paused or cancelled, whether it waits or is worked on.

Prefect changes the run by itself, and tells of it by an event. What counts is how the run stands
when the event is acted on: it may come late, after the run was retried or resumed. The reconciler
finds what was missed.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, StateType

from core.loop import Loop
from core.status import FINAL
from flows.attempts.attempt import Attempt
from flows.attempts.past import PastAttempt
from flows.errors import FlowsError
from flows.pipeline import PAUSED
from flows.prefect.foreign_runs import was_ended_elsewhere
from flows.prefect.runs import FlowRuns
from flows.runtime import Runtime
from flows.worker.carrying import Carrying
from flows.worker.runner import Runner
from store.errors import StoreError
from store.values import UnderWay

RETRY_S: Final = 1.0
_Act = Literal["cancel", "pause"]


class Operators:
    """``note`` takes what an event told; ``loop`` applies it to the generation.

    While Prefect or the store is away, what was noted waits.
    """

    def __init__(
        self, runtime: Runtime, runs: FlowRuns, runner: Runner, carrying: Carrying
    ) -> None:
        self.loop: Final = Loop(
            "applying what operators did",
            self._apply,
            every_s=None,
            retry_s=RETRY_S,
            expected=(FlowsError, StoreError),
        )
        self._runtime = runtime
        self._runs = runs
        self._runner = runner
        self._carrying = carrying
        self._noted: dict[UUID, None] = {}

    def note(self, flow_run_id: UUID) -> None:
        """The run was paused or cancelled: see to it soon."""
        self._noted[flow_run_id] = None
        self.loop.wake()

    async def _apply(self) -> None:
        unfinished: list[UUID] = []
        try:
            while self._noted:
                run_id = next(iter(self._noted))
                del self._noted[run_id]  # what is noted from now on is looked at once more
                unfinished.append(run_id)
                if await self._apply_one(run_id):
                    unfinished.remove(run_id)
        finally:
            self._noted.update(dict.fromkeys(unfinished))  # behind the others
        if unfinished:
            asyncio.get_running_loop().call_later(RETRY_S, self.loop.wake)

    async def _apply_one(self, flow_run_id: UUID) -> bool:
        """Returns False when it is to be looked at again."""
        # Read before the run: what changes the row since makes the write below a no-op.
        seen = await self._runtime.store.generations.of_run(flow_run_id)
        is_over = seen is None or seen.generation.status in FINAL
        if is_over and self._going(flow_run_id) is None:
            return True
        act = await self._wanted(flow_run_id)
        if act is None:
            return True
        attempt = self._going(flow_run_id)
        if attempt is not None:
            attempt.ask_to_stop(act)
            return True
        if seen is None or seen.generation.status in FINAL:
            return True
        if seen.holder is not None:  # another worker hears of it too; this one is about to begin
            return seen.holder != self._runtime.lease.holder
        return await self._apply_to_waiting(seen, flow_run_id, act)

    def _going(self, flow_run_id: UUID) -> Attempt | None:
        """Returns this worker's attempt that the run shows, if it is not over."""
        attempt = self._runtime.attempts.of_run(flow_run_id)
        if attempt is None or isinstance(attempt, PastAttempt) or attempt.is_over:
            return None
        return attempt

    async def _wanted(self, flow_run_id: UUID) -> _Act | None:
        """Returns what the operator wants as the run stands now; None: that it goes on."""
        run = (await self._runs.states([flow_run_id])).get(flow_run_id)
        if run is None:  # deleted: the reconciler's
            return None
        if run.state_type in (StateType.CANCELLING, StateType.CANCELLED):
            return None if was_ended_elsewhere(run.state) else "cancel"
        if run.state_type == StateType.PAUSED or await self._has_passed_over_a_pause(run):
            return "pause"
        return None

    async def _has_passed_over_a_pause(self, run: FlowRun) -> bool:
        """Returns whether this worker set the run Running, not knowing that it was just paused.

        Prefect accepts that. (Who resumes a run sets it Running too, but that is not this worker.)
        """
        state = run.state
        if state is None or not self._carrying.has_begun_with(run.id, state.id):
            return False
        history = await self._runs.history(run.id)
        before = [one for one in history if one.timestamp < state.timestamp]
        return bool(before) and before[-1].is_paused()

    async def _apply_to_waiting(self, seen: UnderWay, flow_run_id: UUID, act: _Act) -> bool:
        flow_runs, generation = self._runtime.store.flow_runs, seen.generation
        if act == "cancel":
            return await flow_runs.settle(
                generation.id, flow_run_id, "cancelled", None, fence=generation.fence
            )
        if generation.waiting != PAUSED and not await flow_runs.let_go(
            generation.id, flow_run_id, generation.fence, PAUSED
        ):
            return False
        # Prefect has given the run to this worker, which may pass over the pause in a moment.
        return flow_run_id not in self._runner.under_way
