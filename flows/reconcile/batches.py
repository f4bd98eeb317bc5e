"""The reconciler's work on batches: keeps each batch and its flow run in step."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.states import Scheduled

from core.status import BATCH_ACTIVE
from flows.prefect.abandoned_runs import BATCH_FLOW
from flows.prefect.runs import BATCH_DEPLOYMENT
from flows.reconcile.batch_rules import (
    Begin,
    Cancel,
    End,
    PauseToo,
    PutBack,
    StartAgain,
    Verdict,
    judge,
)
from flows.reconcile.reconciliation import ENDS, Reconciliation, repaired
from flows.reconcile.rules import Evidence
from store.batches.transitions import PAUSED_IN_PREFECT
from store.errors import ConflictError, NotFoundError
from store.values import Batch, Waiting

_PAUSED: Final = Waiting(
    PAUSED_IN_PREFECT, "Its flow run was paused in Prefect. Resume it there, or here."
)
UNTOLD_READ_EACH: Final = 5
"""While no batch is under way, the store is read every this many looks that no signal asks for."""
_KINDS: Final[dict[type[Verdict], str]] = {
    Begin: "dispatch_again",
    End: "settle",
    Cancel: "settle",
    PauseToo: "let_go",
    PutBack: "let_go",
    StartAgain: "start_again",
}


class Batches(Reconciliation[Batch, Verdict]):
    """Reconciles every batch that has not ended; there are few."""

    flow = BATCH_FLOW
    deployment = BATCH_DEPLOYMENT
    asks_each = 10
    orphan_looks = 1  # its worker has had ten seconds
    _is_told = True

    def tell(self) -> None:
        """A batch may be under way now: read the store at the next look."""
        self._is_told = True

    def _is_unchanged(self) -> bool:
        is_calm = self._store.database.hears and self._is_quiet and not self._is_told
        return is_calm and self._looks % UNTOLD_READ_EACH != 0

    def _judge(self, case: Evidence[Batch]) -> Verdict | None:
        return judge(case)

    async def _without_prefect(self) -> int:
        for batch in await self._store.batches.active():
            if batch.status == "cancelling":
                await self._cancel_children(batch.id)
        return 0

    async def _seen(self, under_way: Sequence[FlowRun]) -> Sequence[Batch]:  # noqa: ARG002
        self._is_told = False  # what is told from now on may come too late for this read
        return await self._store.batches.active()

    async def _carry_out(self, case: Evidence[Batch], verdict: Verdict) -> bool:
        batch, transitions = case.seen, self._store.batch_transitions
        match verdict:
            case Begin(again=False):
                await self._begin(batch)
                return False
            case Begin():
                await transitions.lose_run(batch.id, batch.run_number)
                await self._begin(await self._store.batches.get(batch.id))
                said = "started again: Prefect has lost its run"
            case Cancel():
                await transitions.request_cancel(batch.id)
                await self._cancel_children(batch.id)
                said = "cancelled, as its flow run is"
            case End():
                if not await transitions.finish(batch.id, verdict.to, verdict.problem):
                    return False
                said = f"{verdict.to}, as its flow run ended"
            case PauseToo():
                await transitions.pause(batch.id, _PAUSED)
                said = "paused, as its flow run is"
            case PutBack():
                await transitions.let_go(batch.id, batch.holder)
                if case.run is None or not await self._runs.put_back(case.run):
                    return False
                said = "waiting again: no worker does its flow run"
            case StartAgain():
                if case.run is None or not await self._runs.settle(case.run, Scheduled()):
                    return False
                said = "to start again: a worker of another store ended its flow run"
        return repaired(_KINDS[type(verdict)], "batch %s is %s", batch.id, said)

    async def _settle_orphan(self, run: FlowRun) -> bool:
        """End the run of a batch that has ended: if put back, it would look like a retry."""
        batch = await self._store.batches.of_run(run.id)
        if batch is None or batch.status in BATCH_ACTIVE:
            return False
        if not await self._runs.settle(run, ENDS[batch.status](message="Told by Easel.")):
            return False
        return repaired("settle_run", "flow run %s ended: its batch is %s", run.id, batch.status)

    async def _begin(self, batch: Batch) -> None:
        run = await self._runs.start_batch(batch)
        await self._store.batch_transitions.record_flow_run(
            batch.id, batch.run_number, run.id, run.deployment_id
        )

    async def _cancel_children(self, batch_id: UUID) -> None:
        """Cancel its generations under way; once there are none, the batch has ended.

        Its flow run notices that by itself, at once or when a worker takes it.
        """
        for child in await self._store.batches.active_children(batch_id):
            with contextlib.suppress(ConflictError, NotFoundError):
                await self._store.transitions.request_cancel(child)
        if not await self._store.batches.active_children(batch_id):
            await self._store.batch_transitions.finish(batch_id, "cancelled")
