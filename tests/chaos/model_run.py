"""A flow run in a worker, step by step: what the engine and the flow tell Prefect.

How it is taken, stopped and cleaned up is Easel's own (``flows/worker/carrying.py``); what
``execute`` stands for is Prefect's engine with ``flows/generate.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State
from prefect.states import AwaitingRetry, Cancelled, Completed, Failed, Paused, Running

from flows import pipeline
from flows.attempts.attempt import Kept, Outcome, Stopped, StopReason, Unkept
from flows.pipeline import Assignment
from flows.prefect.runs import parse_idempotency_key
from flows.runtime import Runtime
from flows.worker.carrying import Carrying
from flows.worker.runner import Runner
from store.errors import ConflictError, HeldError, NotFoundError
from store.values import Claim
from tests.chaos.model import CANCELLING, World
from tests.chaos.model_attempt import Doing
from tests.chaos.model_walk import step_ends

Begin = Callable[[Claim, UUID | None], Doing]


class Shown:
    """What ``RunningFlow`` is to ``Carrying``."""

    def __init__(self) -> None:
        self.began_with: UUID | None = None
        """The state of Running that Prefect has of it from here."""
        self._reason: StopReason | None = None

    def stop(self, reason: StopReason) -> None:
        """Only the first call counts."""
        self._reason = self._reason or reason

    def has_begun_with(self, state_id: UUID) -> bool:
        """Whether that is the state with which it began here."""
        return state_id == self.began_with

    def reason(self) -> StopReason | None:
        """Returns why it is stopped; None while it is not."""
        return self._reason


class ModelCarrying(Carrying):
    """``begin`` begins the attempt of a run that Prefect gave this worker."""

    def __init__(
        self,
        world: World,
        runtime: Runtime,
        runner: Runner,
        begin: Begin,
        on_free: Callable[[UUID], None],
    ) -> None:
        super().__init__(runtime, runner, cast("Any", None), on_free)
        self._world = world
        self._begin = begin

    async def carry_out(self, flow_run: FlowRun) -> None:
        """As ``Carrying.carry_out``; who is killed in between cleans nothing up."""
        await step_ends()
        if self._world.prefect.is_up and await self._runner.propose_pending(flow_run):
            await step_ends()
            await self.execute(flow_run)
        await step_ends()
        await self._clean_up(flow_run)

    async def execute(self, flow_run: FlowRun) -> bool:
        """Begin the run, show the attempt to its end, tell how it ended."""
        shown = Shown()
        self._running[flow_run.id] = cast("Any", shown)
        if flow_run.id in self._cancelled_early:
            shown.stop("cancel")
        try:
            return await self._engine(flow_run, shown)
        finally:
            del self._running[flow_run.id]

    async def _engine(self, flow_run: FlowRun, shown: Shown) -> bool:
        await step_ends()
        if shown.reason() is not None:
            return True
        if self._prefect_is_away():
            return False
        if not self._tell(flow_run, Running()):
            if self._world.prefect.state_of(flow_run.id) == CANCELLING:
                self._cancelled_early.add(flow_run.id)
            return True
        state_now = self._world.prefect.runs[flow_run.id].state
        shown.began_with = state_now.id if state_now is not None else None
        await step_ends()
        state = await self._flow(flow_run, shown)
        await step_ends()
        if self._prefect_is_away():
            return False
        if state is not None:
            self._tell(flow_run, state, force=shown.reason() == "release")
        return True

    async def _flow(self, flow_run: FlowRun, shown: Shown) -> State[Any] | None:
        """Returns the run's state; None when nothing is to be told."""
        attempt: Any = self._runtime.attempts.of_run(flow_run.id)
        while attempt is None and shown.reason() is None:
            try:
                attempt = self._begin(await self._claim(flow_run), flow_run.id)
            except HeldError:
                await step_ends()
            except (ConflictError, NotFoundError):
                return await self._over(flow_run)
        while attempt is not None and not attempt.is_over:
            if (reason := shown.reason()) is not None:
                await attempt.stop(reason)
                break
            await step_ends()
        if shown.reason() is not None:
            return Cancelled() if shown.reason() == "cancel" else AwaitingRetry()
        return _state(await attempt.outcome())

    async def _claim(self, flow_run: FlowRun) -> Claim:
        made_for = parse_idempotency_key(flow_run.idempotency_key)
        assert made_for is not None
        now = self._world.prefect.runs.get(flow_run.id, flow_run)
        assignment = Assignment(
            made_for[0],
            flow_run.id,
            made_for[1],
            deployment_id=flow_run.deployment_id,
            rerun=now.run_count > 1,
        )
        return await pipeline.claim(self._runtime.store, assignment, self._runtime.holder)

    async def _over(self, flow_run: FlowRun) -> State[Any]:
        over = await self._runtime.store.generations.of_run(flow_run.id)
        if over is not None and over.generation.status == "failed":
            return Failed()
        if over is not None and over.generation.status == "succeeded":
            return Completed(message="Nothing to do")
        return Cancelled(message="Nothing to do")

    def _prefect_is_away(self) -> bool:
        return not self._world.prefect.is_up

    def _tell(self, flow_run: FlowRun, state: State[Any], *, force: bool = False) -> bool:
        return self._world.prefect.move(flow_run.id, state, force=force)


def _state(outcome: Outcome) -> State[Any] | None:
    match outcome:
        case Kept():
            return Completed()
        case Stopped(reason="release"):
            return AwaitingRetry()
        case Stopped(reason="pause"):
            return Paused()
        case Stopped():
            return Cancelled()
        case Unkept(ended, _):
            if ended.how == "taken_over":
                return None
            return Failed() if ended.how == "failed" else Cancelled()
