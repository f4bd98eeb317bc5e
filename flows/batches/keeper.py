"""Keeps batches and their flow runs together: what one says, the other hears.

A batch without a flow run gets one; one whose run an operator cancelled, deleted or paused is
cancelled or paused; a run that nobody does (its worker died) is put back. It looks again and
again at what has not ended, so nothing that died in between is lost. Runs in the API's process;
of several, each may: every step is repeated without harm.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Completed, Failed, Scheduled

from core.loop import Loop
from core.problems import Problem, problem
from core.status import BATCH_ACTIVE, BatchStatus
from flows.errors import FlowsError
from flows.prefect.abandoned_runs import BATCH_FLOW
from flows.prefect.runs import BATCH_DEPLOYMENT, OVER, FlowRuns
from store.batches.transitions import PAUSED_IN_PREFECT
from store.errors import ConflictError, NotFoundError, StoreError
from store.leases import LeaseWatch
from store.store import Store
from store.values import Batch, Waiting

LOOK_EVERY_S: Final = 1.0
ORPHANS_LOOK: Final = 10
"""Each so many looks it asks Prefect for runs that are under way though their batch has ended."""
UNHELD_LOOKS: Final = 5
"""After so many looks at a run that is under way and that no live worker does, nobody does."""
_PAUSED: Final = Waiting(
    PAUSED_IN_PREFECT, "Its flow run was paused in Prefect. Resume it there, or here."
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Begin:
    """Have its flow run made. ``again``: it was made, and lost with all of Prefect."""

    again: bool = False


@dataclass(frozen=True)
class End:
    """End the batch as its flow run ended."""

    to: BatchStatus
    problem: Problem | None = None


@dataclass(frozen=True)
class Cancel:
    """Its flow run was cancelled or deleted: so is the batch."""


@dataclass(frozen=True)
class PauseToo:
    """Its flow run was paused: so is the batch."""


@dataclass(frozen=True)
class PutBack:
    """Nobody does its flow run: let any worker take it."""


Verdict = Begin | End | Cancel | PauseToo | PutBack


@dataclass(frozen=True)
class Evidence:
    """A batch that has not ended, its flow run, and at how many looks nobody did it."""

    batch: Batch
    run: FlowRun | None
    unheld_looks: int
    deployment_id: UUID | None


def judge(case: Evidence) -> Verdict | None:
    """What is to be done about a batch, going by its flow run; None when all is well."""
    batch, run = case.batch, case.run
    if batch.status == "cancelling":
        return None  # see ``_cancel_children``
    if batch.flow_run_id is None:
        return Begin()
    if run is None:
        made_for = batch.deployment_id
        lost_all = made_for is not None and made_for != case.deployment_id
        return Begin(again=True) if lost_all else Cancel()
    match run.state_type:
        case StateType.CANCELLED | StateType.CANCELLING:
            return Cancel()
        case StateType.FAILED | StateType.CRASHED | StateType.COMPLETED:
            return None if case.unheld_looks < UNHELD_LOOKS else End("failed", _run_ended(run))
        case StateType.PAUSED:
            return PauseToo() if batch.status != "paused" else None
        case StateType.RUNNING | StateType.PENDING:
            return PutBack() if case.unheld_looks >= UNHELD_LOOKS else None
        case _:
            return None


def _run_ended(run: FlowRun) -> Problem:
    message = run.state.message if run.state is not None else None
    return problem("run_failed", message or f"its flow run is {run.state_name}")


class BatchKeeper:
    """Use as an async context manager; ``wake()`` makes it look at once."""

    def __init__(self, store: Store, runs: FlowRuns, look_every_s: float = LOOK_EVERY_S) -> None:
        self._store = store
        self._runs = runs
        self._watch = LeaseWatch(look_every_s)
        self._unheld: dict[UUID, tuple[UUID | None, int]] = {}
        self._looks = 0
        self._loop = Loop(
            "keeping batches and their flow runs together",
            self.look,
            every_s=look_every_s,
            expected=(FlowsError, StoreError),
            level=logging.DEBUG,
        )

    async def __aenter__(self) -> BatchKeeper:
        self._loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._loop.stop()

    def wake(self) -> None:
        """There is something to do."""
        self._loop.wake()

    async def resume_run(self, batch: Batch) -> None:
        """Let a flow run go on that was paused in Prefect. Raises FlowsError."""
        if batch.flow_run_id is None:
            return
        run = (await self._runs.states([batch.flow_run_id])).get(batch.flow_run_id)
        if run is not None and run.state_type == StateType.PAUSED:
            await self._runs.settle(run, Scheduled(name="Resuming"))

    async def look(self) -> None:
        """One round over every batch that has not ended."""
        self._looks += 1
        if self._looks % ORPHANS_LOOK == 0:
            await self._settle_orphans()
        active = await self._store.batches.active()
        if not active:
            return
        for batch in active:  # first, and without Prefect, which may be away
            if batch.status == "cancelling":
                await self._cancel_children(batch)
        self._watch.look(await self._store.leases.all())
        for case in await self._cases(active):
            try:
                await self._see_to(case)
            except (
                FlowsError,
                ConflictError,
                NotFoundError,
            ) as reason:  # it moved, or Prefect away
                _log.debug("batch %s: %s", case.batch.id, reason)

    async def _cases(self, active: Iterable[Batch]) -> list[Evidence]:
        ids = [batch.flow_run_id for batch in active if batch.flow_run_id is not None]
        runs = await self._runs.states(ids)
        gone = any(run_id not in runs for run_id in ids)
        deployment = await self._runs.deployment(BATCH_DEPLOYMENT) if gone else None
        return [self._evidence(batch, runs, deployment) for batch in active]

    def _evidence(
        self, batch: Batch, runs: dict[UUID, FlowRun], deployment_id: UUID | None
    ) -> Evidence:
        run = runs.get(batch.flow_run_id) if batch.flow_run_id is not None else None
        lives = self._watch.lives(batch.holder)
        unheld = self._count_unheld(run, lives=lives) if run is not None else 0
        return Evidence(batch, run, unheld, deployment_id)

    def _count_unheld(self, run: FlowRun, *, lives: bool) -> int:
        """At how many looks in a row nobody did the run, or it was over: it may be winding up."""
        if lives and run.state_type not in OVER:
            self._unheld.pop(run.id, None)
            return 0
        state_id = run.state.id if run.state is not None else None
        before, looks = self._unheld.get(run.id, (None, 0))
        looks = looks + 1 if before == state_id else 1
        self._unheld[run.id] = (state_id, looks)
        return looks

    async def _see_to(self, case: Evidence) -> None:
        batch = case.batch
        verdict = judge(case)
        transitions = self._store.batch_transitions
        match verdict:
            case Begin():
                if verdict.again:
                    await transitions.lose_run(batch.id, batch.run_number)
                    _log.warning("batch %s is begun again: Prefect has lost its run", batch.id)
                await self._begin(await self._store.batches.get(batch.id))
            case Cancel():
                await transitions.request_cancel(batch.id)
                _log.info("batch %s is cancelled, as its flow run is", batch.id)
                self.wake()
            case End():
                if await transitions.finish(batch.id, verdict.to, verdict.problem):
                    _log.warning("batch %s is %s, as its flow run ended", batch.id, verdict.to)
            case PauseToo():
                await transitions.pause(batch.id, _PAUSED)
            case PutBack():
                assert case.run is not None
                await transitions.let_go(batch.id, batch.holder)
                if await self._runs.put_back(case.run):
                    _log.warning("batch %s is waiting again: nobody does its flow run", batch.id)
            case None:
                pass

    async def _begin(self, batch: Batch) -> None:
        run = await self._runs.start_batch(batch)
        await self._store.batch_transitions.record_flow_run(
            batch.id, batch.run_number, run.id, run.deployment_id
        )

    async def _cancel_children(self, batch: Batch) -> None:
        """Cancel what it has under way; once nothing is, the batch has ended.

        Its flow run sees that by itself, at once or when a worker takes it.
        """
        for child in await self._store.batches.active_children(batch.id):
            with contextlib.suppress(ConflictError, NotFoundError):
                await self._store.transitions.request_cancel(child)
        if not await self._store.batches.active_children(batch.id):
            await self._store.batch_transitions.finish(batch.id, "cancelled")

    async def _settle_orphans(self) -> None:
        """Runs that stay under way in Prefect though their batch has ended.

        Put back, such a run would look like an operator's retry.
        """
        under_way = await self._runs.under_way(BATCH_FLOW)
        self._unheld = {run.id: self._unheld[run.id] for run in under_way if run.id in self._unheld}
        for run in under_way:
            batch = await self._store.batches.of_run(run.id)
            if batch is None or batch.status in BATCH_ACTIVE:
                continue
            if self._count_unheld(run, lives=False) > 1:  # its worker has had ten seconds
                end = _ENDS[batch.status](message="Told by Easel.")
                if await self._runs.settle(run, end):
                    _log.warning("flow run %s is ended: its batch is %s", run.id, batch.status)


_ENDS: Final[dict[BatchStatus, Callable[..., State[Any]]]] = {
    "succeeded": Completed,
    "failed": Failed,
    "cancelled": Cancelled,
}

__all__ = ["BatchKeeper", "Evidence", "judge"]
