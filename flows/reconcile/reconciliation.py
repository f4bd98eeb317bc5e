"""One round over everything of a kind, generations or batches, that flow runs execute."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Generic, TypeVar
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Completed, Failed
from prometheus_client import Counter

from flows.errors import FlowsError
from flows.prefect.runs import OVER, FlowRuns
from flows.reconcile.rules import Evidence, Row
from store.errors import ConflictError, NotFoundError
from store.leases import LeaseWatch
from store.store import Store

Verdict = TypeVar("Verdict")
QUIET_ASKS: Final = 6
"""While nothing is under way, Prefect is asked every this many times that it would be asked."""
REPAIRS: Final = Counter("easel_repairs", "What the reconciler put right, by what it did", ["kind"])
ENDS: Final[dict[str, Callable[..., State[Any]]]] = {
    "succeeded": Completed,
    "failed": Failed,
    "cancelled": Cancelled,
}
"""The state of a flow run, by the status its row ended with."""
_log = logging.getLogger(__name__)


class Reconciliation(ABC, Generic[Row, Verdict]):
    """Compares rows of one kind with their flow runs. ``look()`` is one round."""

    flow: ClassVar[str]
    deployment: ClassVar[str]
    asks_each: ClassVar[int]
    """Every this many looks, Prefect is asked for all of the flow's runs under way."""
    orphan_looks: ClassVar[int]
    """A run under way that its row has not wanted in this many of those looks is an orphan."""

    def __init__(self, store: Store, runs: FlowRuns, watch: LeaseWatch) -> None:
        self._store = store
        self._runs = runs
        self._watch = watch
        self._looks = 0
        self._is_quiet = False
        self._unheld: dict[UUID, tuple[UUID | None, int]] = {}
        self._deployment_ids: frozenset[UUID] = frozenset()

    # --- what differs

    @abstractmethod
    def _judge(self, case: Evidence[Row]) -> Verdict | None: ...

    @abstractmethod
    async def _without_prefect(self) -> int:
        """Repair what needs only the store: Prefect may be away. Returns the number of repairs."""

    @abstractmethod
    async def _seen(self, under_way: Sequence[FlowRun]) -> Sequence[Row]:
        """Returns the rows to judge, including those of the runs under way."""

    async def _deployments(self) -> frozenset[UUID]:
        """Returns those that Prefect has now, of those that Easel starts such runs from."""
        return frozenset({await self._runs.deployment(self.deployment)})

    async def _again(self, case: Evidence[Row]) -> Evidence[Row] | None:
        """Returns the case as it is now, right before a repair; None if it is over."""
        return case

    @abstractmethod
    async def _carry_out(self, case: Evidence[Row], verdict: Verdict) -> bool:
        """Returns whether anything was repaired."""

    @abstractmethod
    async def _settle_orphan(self, run: FlowRun) -> bool:
        """Returns whether the run was ended or put back."""

    def _is_unchanged(self) -> bool:
        """Whether the store need not be read: nothing was under way, and nothing can be now."""
        return False

    # --- what is shared

    async def look(self) -> int:
        """Run one round. Returns the number of repairs."""
        self._looks += 1
        asks_each = self.asks_each * (QUIET_ASKS if self._is_quiet else 1)
        asks = self._looks % asks_each == 0
        if not asks and self._is_unchanged():
            return 0
        was_quiet, self._is_quiet = self._is_quiet, False  # until store and Prefect have answered
        repaired = await self._without_prefect()
        under_way = await self._runs.under_way(self.flow) if asks else []
        cases = await self._cases(under_way)
        self._is_quiet = not (under_way or cases) if asks or cases else was_quiet
        for case in cases:
            if self._judge(case) is not None:
                repaired += await self._see_to(case)
        return repaired + (await self._settle_orphans(under_way, cases) if asks else 0)

    async def _cases(self, under_way: Sequence[FlowRun]) -> list[Evidence[Row]]:
        rows = await self._seen(under_way)
        if not rows:
            return []
        self._watch.look(await self._store.leases.all())
        runs = {run.id: run for run in under_way}
        ids = [row.flow_run_id for row in rows if row.flow_run_id is not None]
        runs.update(await self._runs.states(run_id for run_id in ids if run_id not in runs))
        if any(run_id not in runs for run_id in ids):
            self._deployment_ids = await self._deployments()
        return [self._evidence(row, runs) for row in rows]

    def _evidence(self, row: Row, runs: dict[UUID, FlowRun]) -> Evidence[Row]:
        run = runs.get(row.flow_run_id) if row.flow_run_id is not None else None
        lives = self._watch.lives(row.holder)
        unheld = self._count_unheld(run, lives=lives) if run is not None else 0
        made_from = row.deployment_id if row.deployment_id in self._deployment_ids else None
        return Evidence(row, run, lives, unheld, made_from, datetime.now(UTC))

    def _count_unheld(self, run: FlowRun, *, lives: bool) -> int:
        """Returns in how many consecutive looks no live worker executed the run, or it was over.

        It may be winding up. A new state of the run restarts the count.
        """
        if lives and run.state_type not in OVER:
            self._unheld.pop(run.id, None)
            return 0
        state_id = run.state.id if run.state is not None else None
        before, looks = self._unheld.get(run.id, (None, 0))
        looks = looks + 1 if before == state_id else 1
        self._unheld[run.id] = (state_id, looks)
        return looks

    async def _see_to(self, case: Evidence[Row]) -> bool:
        """Judge and repair one case. A failure must not keep the others from being repaired."""
        try:
            again = await self._again(case)
            verdict = self._judge(again) if again is not None else None
            if again is None or verdict is None:
                return False
            return await self._carry_out(again, verdict)
        except (ConflictError, NotFoundError) as error:  # it changed meanwhile
            _log.debug("flow run %s left unchanged: %s", case.seen.flow_run_id, error)
        except FlowsError as error:
            # Without a run, Prefect was not asked before: it may just be unavailable.
            level = logging.WARNING if case.run is not None else logging.DEBUG
            _log.log(level, "flow run %s waits: %s", case.seen.flow_run_id, error)
        return False

    async def _settle_orphans(
        self, under_way: Sequence[FlowRun], cases: Sequence[Evidence[Row]]
    ) -> int:
        """Settle runs still under way in Prefect though their row has ended or never existed."""
        judged = {case.run.id for case in cases if case.run is not None}
        orphans = [run for run in under_way if run.id not in judged]
        repaired = 0
        for run in orphans:
            if self._count_unheld(run, lives=False) > self.orphan_looks:
                repaired += await self._settle_orphan(run)
        alive = judged | {run.id for run in orphans}
        self._unheld = {run_id: n for run_id, n in self._unheld.items() if run_id in alive}
        return repaired


def repaired(kind: str, said: str, *arguments: Any) -> bool:
    """Count and log a repair. Returns True, for callers that report one."""
    REPAIRS.labels(kind).inc()
    _log.warning(said, *arguments)
    return True
