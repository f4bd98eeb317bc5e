"""The reconciler's work on generations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Scheduled

from core.status import FINAL, Status
from flows.errors import PrefectUnavailableError
from flows.prefect.abandoned_runs import FLOW
from flows.prefect.foreign_runs import foreign
from flows.prefect.runs import DEPLOYMENT, OVER, parse_idempotency_key
from flows.reconcile.dead_holders import held_by_the_dead, release
from flows.reconcile.reconciliation import ENDS, Reconciliation, repaired
from flows.reconcile.rules import (
    UNHELD_LOOKS,
    Case,
    DispatchAgain,
    LetGo,
    Settle,
    StartAgain,
    StartNow,
    Verdict,
    judge,
)
from store.errors import DeletedError
from store.values import UnderWay

UNDISPATCHED_S: Final = 20.0
"""A generation older than this without a flow run and without a dispatch is lost."""
WINDOW: Final = 100
"""Number of waiting generations examined in each round, in turn."""
_WAITS_AGAIN: Final = "waiting again: no worker does it"
_KINDS: Final[dict[type[Verdict], str]] = {
    Settle: "settle",
    LetGo: "let_go",
    DispatchAgain: "dispatch_again",
    StartNow: "start_now",
    StartAgain: "start_again",
}


class Generations(Reconciliation[UnderWay, Verdict]):
    """Reconciles every generation that a worker holds, and in turn some of those that wait."""

    flow = FLOW
    deployment = DEPLOYMENT
    asks_each = 1
    orphan_looks = 2 * UNHELD_LOOKS
    _window_from = 0

    def _judge(self, case: Case) -> Verdict | None:
        return judge(case)

    async def look(self) -> int:
        """Run one round. While Prefect is away, what dead workers hold is let go all the same."""
        try:
            return await super().look()
        except PrefectUnavailableError:
            await self._let_go_of_the_dead(lambda _: True)  # who takes one puts its run back
            raise

    async def _without_prefect(self) -> int:
        """Repair what has no flow run: by that it would not be found."""
        released = await self._let_go_of_the_dead(lambda one: one.flow_run_id is None)
        return released + await self._dispatch_lost_ones()

    async def _let_go_of_the_dead(self, wanted: Callable[[UnderWay], bool]) -> int:
        count = 0
        for left in await held_by_the_dead(self._store, self._watch, wanted):
            if await release(self._store, left):
                said = "generation %s is let go, or ended: its worker is dead"
                count += repaired(_KINDS[LetGo], said, left.generation.id)
        return count

    async def _dispatch_lost_ones(self) -> int:
        """Dispatch waiting generations that would never start."""
        since = datetime.now(UTC) - timedelta(seconds=UNDISPATCHED_S)
        count = 0
        for generation in await self._store.generations.undispatched(since):
            if await self._store.flow_runs.dispatch_again(
                generation.id, generation.attempt, generation.fence
            ):
                count += repaired("dispatch_again", "generation %s had no dispatch", generation.id)
        return count

    async def _seen(self, under_way: Sequence[FlowRun]) -> Sequence[UnderWay]:
        page = await self._store.generations.under_way(WINDOW, self._window_from)
        waiting = [one.generation.seq for one in page if one.holder is None]
        self._window_from = max(waiting) if len(waiting) >= WINDOW else 0
        seen = {one.generation.id: one for one in page}
        for one in await self._store.generations.of_runs([run.id for run in under_way]):
            if one.generation.status not in FINAL:
                seen.setdefault(one.generation.id, one)
        return [one for one in seen.values() if one.flow_run_id is not None]

    async def _deployments(self) -> frozenset[UUID]:
        return frozenset(one.id for one in await self._runs.generate_deployments())

    async def _again(self, case: Case) -> Case | None:
        """Read it again: a run that ended a moment ago may have updated its row meanwhile."""
        assert case.seen.flow_run_id is not None
        seen = await self._store.generations.of_run(case.seen.flow_run_id)
        if seen is None or seen.generation.fence != case.seen.generation.fence:
            return None
        if seen.holder is not None and not self._watch.knows(seen.holder):
            held = {lease.holder for lease in await self._store.leases.all()}
            if seen.holder in held:
                return None  # taken by a worker that started after this look did
        gone = seen.generation.status in FINAL or seen.generation.deleted_at is not None
        return None if gone else replace(case, seen=seen)

    async def _carry_out(self, case: Case, verdict: Verdict) -> bool:
        generation, run = case.seen.generation, case.run
        assert generation.flow_run_id is not None
        flow_runs = self._store.flow_runs
        match verdict:
            case Settle():
                done = await flow_runs.settle(
                    generation.id, generation.flow_run_id, verdict.to, verdict.problem
                )
                if done and run is not None and run.state_type not in OVER:
                    await self._runs.settle(run, _end(verdict))
                said = f"{verdict.to}: its run is {run.state_name if run else 'deleted'}"
            case LetGo():
                done = await flow_runs.let_go(
                    generation.id, generation.flow_run_id, generation.fence, verdict.waiting
                )
                if done and verdict.put_back and run is not None:
                    await self._runs.put_back(run)
                said = verdict.waiting.code if verdict.waiting else _WAITS_AGAIN
            case DispatchAgain():
                done = await flow_runs.dispatch_again(
                    generation.id, generation.attempt, generation.fence
                )
                said = "dispatched again: Prefect has lost its run"
            case StartNow():
                done = run is not None and await self._runs.settle(run, Scheduled())
                said = "to start now: the clock was set back"
            case StartAgain():
                done = run is not None and await self._runs.settle(run, Scheduled())
                said = "to start again: a worker of another store ended its run"
        return done and repaired(_KINDS[type(verdict)], "generation %s is %s", generation.id, said)

    async def _settle_orphan(self, run: FlowRun) -> bool:
        """End a run whose generation has ended; put back a run whose generation waits."""
        if await foreign(self._store, [run]):
            return False  # the worker of another store may be executing it
        if await self._store.queue.is_untold(run.id):
            return False  # a worker will show in it what was done
        status = await self._status_of(run)
        if status is None and run.deployment_id not in await self._deployments():
            return False  # a run of another Easel that shares this Prefect
        if status is None or status not in FINAL:
            done = await self._runs.put_back(run)
            said = _WAITS_AGAIN
        else:
            done = await self._runs.settle(run, ENDS[status](message="Told by Easel."))
            said = f"ended: its generation is {status}"
        return done and repaired("settle_run", "flow run %s is %s", run.id, said)

    async def _status_of(self, run: FlowRun) -> Status | None:
        """Returns the status of the run's generation; None if no generation was ever made.

        A run of a deleted generation, or of an attempt that is over, is not wanted.
        """
        one = await self._store.generations.of_run(run.id)
        if one is not None:
            return one.generation.status
        made_for = parse_idempotency_key(run.idempotency_key)
        if made_for is None:
            return None
        try:
            generation = await self._store.generations.get(made_for[0])
        except DeletedError:
            return "cancelled"
        return generation.status if generation.attempt == made_for[1] else "cancelled"


def _end(verdict: Settle) -> State[Any]:
    """Returns the state of the run of what ends so."""
    if verdict.problem is None:
        return ENDS[verdict.to](message="Cancelled through Easel.")
    return ENDS[verdict.to](message=verdict.problem.detail)
