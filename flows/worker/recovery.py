"""Recovery at a worker's start: what its dead predecessor left under way."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from core.status import BATCH_ACTIVE
from flows.prefect.abandoned_runs import BATCH_FLOW, put_back, under_way
from flows.prefect.foreign_runs import foreign
from flows.reconcile.dead_holders import release
from store.store import Store


async def let_go_of_the_dead(store: Store, living: AbstractSet[UUID]) -> int:
    """Let go of the generations that no living worker holds: any worker may take them.

    ``living`` are the leases of workers that may live. What was being cancelled ends as cancelled,
    and its prompt becomes a stray. Returns how many there were.
    """
    held = await store.queue.held_by_others(living)
    # Whoever began to live, and took one, between the two reads has a lease by now.
    begun = {lease.holder for lease in await store.leases.all()} if held else set()
    return sum([await release(store, left) for left in held if left.holder not in begun])


async def take_batches_back(
    client: PrefectClient, pool: str, store: Store, living: AbstractSet[UUID], *, alone: bool
) -> None:
    """Requeue at once the batches' runs that no living worker executes.

    ``alone``: there is no other worker.
    """
    for run in await _own(store, await under_way(client, pool, BATCH_FLOW)):
        batch = await store.batches.of_run(run.id)
        if batch is not None and batch.status not in BATCH_ACTIVE:
            continue
        holder = batch.holder if batch is not None else None
        if holder in living or (holder is None and not alone):
            continue
        if batch is not None:
            await store.batch_transitions.let_go(batch.id, holder)
        await put_back(client, run)


async def _own(store: Store, runs: Sequence[FlowRun]) -> list[FlowRun]:
    """Returns the runs without those of other stores, whose workers may be executing them."""
    of_others = await foreign(store, runs)
    return [run for run in runs if run.id not in of_others]
