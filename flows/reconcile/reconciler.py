"""The reconciler: what an operator or a crash did anywhere reaches the generation, and its run.

A cancel, a crash or a deletion that met no worker tells nobody. So now and then what is under way
is held against its flow run and the leases of the workers, and what does not fit is put right,
said in the log and counted. It runs in the API's process; of several, in one at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Completed, Failed, Scheduled
from prometheus_client import Counter

from core.loop import Loop
from core.status import FINAL, Status
from flows.errors import FlowsError
from flows.prefect.runs import OVER, FlowRuns, parse_idempotency_key
from flows.reconcile.rules import (
    UNHELD_LOOKS,
    DispatchAgain,
    Evidence,
    LetGo,
    Settle,
    StartNow,
    Verdict,
    judge,
)
from store.errors import NotFoundError, StoreError
from store.leases import Lease, LeaseWatch
from store.store import Store
from store.values import UnderWay

LEASE: Final = "reconciler"
UNDISPATCHED_S: Final = 20.0
"""A generation without a flow run and without a dispatch is older than this: then it is lost."""
WINDOW: Final = 100
"""How many of those that wait are looked at each time, in turn."""
HOUSEKEEPING_EVERY_S: Final = 3600.0
_log = logging.getLogger(__name__)

REPAIRS: Final = Counter("easel_repairs", "What the reconciler put right, by what it did", ["kind"])


class Reconciler:
    """Use as an async context manager. ``look()`` is one round.

    ``housekeeping`` is called each hour, by the one that reconciles.
    """

    def __init__(
        self,
        store: Store,
        runs: FlowRuns,
        *,
        look_every_s: float,
        lease_s: float,
        housekeeping: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._runs = runs
        self._lease_s = lease_s
        self._me = uuid4()
        self._watch = LeaseWatch(look_every_s)
        self._unheld: dict[UUID, tuple[UUID | None, int]] = {}
        self._window_from = 0
        self._deployment_id: UUID | None = None
        self._leads = False
        self._housekeeping = housekeeping
        self._loops = (
            Loop(
                "reconciling",
                self._look_if_it_leads,
                every_s=look_every_s,
                expected=(FlowsError, StoreError),
                level=logging.DEBUG,
            ),
            Loop(
                "housekeeping",
                self._keep_house,
                every_s=HOUSEKEEPING_EVERY_S,
                first_s=4 * look_every_s,
                expected=(StoreError,),
            ),
        )

    async def __aenter__(self) -> Reconciler:
        for loop in self._loops:
            loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.gather(*(loop.stop() for loop in self._loops))
        try:
            await self._store.leases.give_up(LEASE, self._me)
        except StoreError as error:
            _log.debug("the reconciler's lease lapses by itself: %s", error)

    async def look(self) -> int:
        """One round; how much was put right."""
        leases = await self._store.leases.all()
        self._watch.look(leases)
        for lease in self._watch.long_gone():
            await self._store.leases.forget(lease)
        under_way = await self._runs.under_way()
        cases = await self._cases(under_way)
        repaired = 0
        for case in cases:
            if judge(case) is None:
                continue
            # Read again: a run that ended a moment ago may have told its row meanwhile.
            again = await self._again(case)
            verdict = judge(again) if again is not None else None
            if again is not None and verdict is not None:
                repaired += await self._try_to_carry_out(again, verdict)
        repaired += await self._dispatch_forgotten()
        return repaired + await self._settle_orphans(under_way, cases)

    # --- what is known

    async def _cases(self, under_way: list[FlowRun]) -> list[Evidence]:
        seen = await self._seen(under_way)
        if not seen:
            return []
        known = {run.id: run for run in under_way}
        rest = [run_id for run_id in map(_run_id, seen) if run_id and run_id not in known]
        known.update(await self._runs.states(rest))
        if any(_run_id(one) not in known for one in seen):
            self._deployment_id = await self._runs.deployment()
        return [self._evidence(one, known.get(_run_id(one) or uuid4())) for one in seen]

    async def _seen(self, under_way: Iterable[FlowRun]) -> list[UnderWay]:
        """Everything somebody does, and a part of what waits."""
        page = await self._store.generations.under_way(WINDOW, self._window_from)
        waiting = [one.generation.seq for one in page if one.holder is None]
        self._window_from = max(waiting) if len(waiting) >= WINDOW else 0
        seen = {one.generation.id: one for one in page}
        for run in under_way:
            one = await self._store.generations.of_run(run.id)
            if one is not None and one.generation.status not in FINAL:
                seen.setdefault(one.generation.id, one)
        return [one for one in seen.values() if _run_id(one) is not None]

    async def _again(self, case: Evidence) -> Evidence | None:
        """The same case with its row as it is now; None when that has ended, or changed hands."""
        run_id = _run_id(case.seen)
        seen = await self._store.generations.of_run(run_id) if run_id is not None else None
        if seen is None or seen.generation.fence != case.seen.generation.fence:
            return None
        if seen.holder is not None and not self._watch.knows(seen.holder):
            held = {lease.holder for lease in await self._store.leases.all()}
            if seen.holder in held:
                return None  # a worker that began after this look did
        gone = seen.generation.status in FINAL or seen.generation.deleted_at is not None
        return None if gone else replace(case, seen=seen)

    def _evidence(self, seen: UnderWay, run: FlowRun | None) -> Evidence:
        unheld = 0
        if run is not None and seen.holder is None:
            unheld = self._count_unheld(run)
        lives = self._watch.lives(seen.holder)
        return Evidence(seen, run, lives, unheld, self._deployment_id, datetime.now(UTC))

    def _count_unheld(self, run: FlowRun) -> int:
        state_id = run.state.id if run.state is not None else None
        before, looks = self._unheld.get(run.id, (None, 0))
        looks = looks + 1 if before == state_id else 1
        self._unheld[run.id] = (state_id, looks)
        return looks

    # --- what is done

    async def _try_to_carry_out(self, case: Evidence, verdict: Verdict) -> bool:
        """One that cannot be put right must not keep the others from it."""
        try:
            return await self._carry_out(case, verdict)
        except FlowsError as error:
            _log.warning("generation %s waits: %s", case.seen.generation.id, error)
            return False

    async def _carry_out(self, case: Evidence, verdict: Verdict) -> bool:
        generation, run = case.seen.generation, case.run
        assert generation.flow_run_id is not None
        transitions = self._store.transitions
        match verdict:
            case Settle():
                done = await transitions.settle(
                    generation.id, generation.flow_run_id, verdict.to, verdict.problem
                )
                if done and run is not None and run.state_type not in OVER:
                    await self._runs.settle(run, Cancelled(message="Cancelled through Easel."))
                said = f"{verdict.to}: its run is {run.state_name if run else 'deleted'}"
            case LetGo():
                done = await transitions.let_go(
                    generation.id, generation.flow_run_id, generation.fence, verdict.waiting
                )
                if done and verdict.put_back and run is not None:
                    await self._runs.put_back(run)
                said = verdict.waiting.code if verdict.waiting else "waiting again: nobody does it"
            case DispatchAgain():
                done = await transitions.dispatch_again(
                    generation.id, generation.attempt, generation.fence
                )
                said = "dispatched again: Prefect has lost its run"
            case StartNow():
                done = run is not None and await self._runs.settle(run, Scheduled())
                said = "to start now: the clock was set back"
        if done:
            _repaired(_KINDS[type(verdict)], "generation %s is %s", generation.id, said)
        return done

    async def _dispatch_forgotten(self) -> int:
        """Nothing may wait that nobody will ever start."""
        since = datetime.now(UTC) - timedelta(seconds=UNDISPATCHED_S)
        repaired = 0
        for generation in await self._store.generations.undispatched(since):
            if await self._store.transitions.dispatch_again(
                generation.id, generation.attempt, generation.fence
            ):
                repaired += 1
                _repaired("dispatch_again", "generation %s had no dispatch", generation.id)
        return repaired

    async def _settle_orphans(self, under_way: list[FlowRun], cases: list[Evidence]) -> int:
        """Runs that stay under way in Prefect though their generation has ended, or never was."""
        judged = {case.run.id for case in cases if case.run is not None}
        orphans = [run for run in under_way if run.id not in judged]
        repaired = 0
        for run in orphans:
            if self._count_unheld(run) > 2 * UNHELD_LOOKS:
                repaired += await self._settle_orphan(run)
        alive = judged | {run.id for run in orphans}
        self._unheld = {run_id: n for run_id, n in self._unheld.items() if run_id in alive}
        return repaired

    async def _settle_orphan(self, run: FlowRun) -> bool:
        status = await self._status_of(run)
        if status is None and run.deployment_id != await self._runs.deployment():
            return False  # somebody else's, on a Prefect that others use too
        if status is None or status not in FINAL:
            done = await self._runs.put_back(run)
            said = "waiting again: nobody does it"
        else:
            done = await self._runs.settle(run, _ENDS[status](message="Told by Easel."))
            said = f"ended: its generation is {status}"
        if done:
            _repaired("settle_run", "flow run %s is %s", run.id, said)
        return done

    async def _status_of(self, run: FlowRun) -> Status | None:
        """How the generation stands that a run was made for; None for one that was never made.

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
        except NotFoundError:
            return "cancelled"
        return generation.status if generation.attempt == made_for[1] else "cancelled"

    # --- life

    async def _look_if_it_leads(self) -> None:
        self._leads = await self._lead()
        if self._leads:
            await self.look()

    async def _lead(self) -> bool:
        """Whether this process is the one that reconciles. A dead one's place is taken."""
        leases = await self._store.leases.all()
        self._watch.look(leases)
        now: Lease | None = next((lease for lease in leases if lease.name == LEASE), None)
        if now is not None and now.holder == self._me:
            return await self._store.leases.renew(LEASE, self._me)
        if now is not None and self._watch.lives(now.holder):
            return False
        return await self._store.leases.take_free(LEASE, self._me, self._lease_s, now)

    async def _keep_house(self) -> None:
        if self._leads and self._housekeeping is not None:
            await self._housekeeping()


def _run_id(seen: UnderWay) -> UUID | None:
    return seen.generation.flow_run_id


def _repaired(kind: str, said: str, *arguments: Any) -> None:
    REPAIRS.labels(kind).inc()
    _log.warning(said, *arguments)


_KINDS: Final[dict[type[Verdict], str]] = {
    Settle: "settle",
    LetGo: "let_go",
    DispatchAgain: "dispatch_again",
    StartNow: "start_now",
}
_ENDS: Final[dict[Status, Callable[..., State[Any]]]] = {
    "succeeded": Completed,
    "failed": Failed,
    "cancelled": Cancelled,
}
