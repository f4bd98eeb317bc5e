"""Recovery at a worker's start: the runs that its dead predecessor left under way."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType

from core.status import BATCH_ACTIVE, FINAL
from flows.prefect.abandoned_runs import BATCH_FLOW, put_back, under_way
from flows.prefect.foreign_runs import foreign
from store.store import Store
from store.values import Generation


async def take_back(
    client: PrefectClient, pool: str, store: Store, *, alive: AbstractSet[UUID], alone: bool
) -> None:
    """Requeue at once the runs that no live worker executes.

    The caller has taken over the dead process's lease. Holders of other leases may live (``alive``
    are the leases of all workers, ``alone``: there is no other): the reconciler, which has
    watched them, judges those runs.
    """
    for run in await _own(store, await under_way(client, pool)):
        left = await store.generations.of_run(run.id)
        if left is not None and left.generation.status in FINAL:
            continue  # Prefect just does not know yet: put back, it would look like a retry
        holder = left.holder if left is not None else None
        if _may_live(holder, alive, alone=alone):
            continue
        if left is not None:
            await _let_go(store, left.generation, run)
        await put_back(client, run)
    await _take_batches_back(client, pool, store, alive, alone=alone)


async def _take_batches_back(
    client: PrefectClient, pool: str, store: Store, alive: AbstractSet[UUID], *, alone: bool
) -> None:
    for run in await _own(store, await under_way(client, pool, BATCH_FLOW)):
        batch = await store.batches.of_run(run.id)
        if batch is not None and batch.status not in BATCH_ACTIVE:
            continue
        holder = batch.holder if batch is not None else None
        if _may_live(holder, alive, alone=alone):
            continue
        if batch is not None:
            await store.batch_transitions.let_go(batch.id, holder)
        await put_back(client, run)


async def _own(store: Store, runs: Sequence[FlowRun]) -> list[FlowRun]:
    """Returns the runs without those of other stores, whose workers may be executing them."""
    of_others = await foreign(store, runs)
    return [run for run in runs if run.id not in of_others]


def _may_live(holder: UUID | None, alive: AbstractSet[UUID], *, alone: bool) -> bool:
    return holder in alive or (holder is None and not alone)


async def _let_go(store: Store, left: Generation, run: FlowRun) -> None:
    """Release the attempt. If it was being cancelled, its prompt becomes a stray."""
    transitions = store.transitions
    if run.state_type == StateType.CANCELLING or left.status == "cancelling":
        await transitions.settle(left.id, run.id, "cancelled", None)
    else:
        await transitions.let_go(left.id, run.id, left.fence)
