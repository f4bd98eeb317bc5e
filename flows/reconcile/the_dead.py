"""Generations that a dead worker holds: any other worker may take them."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from store.store import Store
from store.values import UnderWay


async def let_go_of_the_dead(
    store: Store, known: Collection[UUID], living: Collection[UUID]
) -> list[UnderWay]:
    """Let go of what no living worker holds, which needs nobody but the store. Returns it.

    ``known`` are the holders of all leases, ``living`` those of them that may be alive. What was
    being cancelled ends as cancelled, and its prompt becomes a stray. One that changed meanwhile
    is left alone.
    """
    held = await store.queue.held_by_others(living)
    if not held:
        return []
    # A worker may have started since, and taken something: its lease came before.
    new = {lease.holder for lease in await store.leases.all()}.difference(known)
    return [left for left in held if left.holder not in new and await _let_go(store, left)]


async def _let_go(store: Store, left: UnderWay) -> bool:
    generation, transitions = left.generation, store.transitions
    run_id = generation.flow_run_id
    if generation.status == "cancelling":
        return await transitions.settle(generation.id, run_id, "cancelled", None)
    return await transitions.let_go(generation.id, run_id, generation.fence)
