"""Generations that a dead worker holds, seen in the store alone: Prefect need not know of them."""

from __future__ import annotations

from collections.abc import Callable

from flows.reconcile.rules import taken_too_often
from store.leases import LeaseWatch
from store.store import Store
from store.values import UnderWay


async def release(store: Store, left: UnderWay) -> bool:
    """Let go of what a dead worker holds: any worker may take it, unless that was tried too often.

    What was being cancelled ends as cancelled, and its prompt becomes a stray. Returns False when
    it has changed meanwhile.
    """
    generation, flow_runs = left.generation, store.flow_runs
    run_id = generation.flow_run_id
    if generation.status == "cancelling":
        return await flow_runs.settle(generation.id, run_id, "cancelled", None)
    problem = taken_too_often(left)
    if problem is not None:
        return await flow_runs.settle(
            generation.id, run_id, "failed", problem, fence=generation.fence
        )
    return await flow_runs.let_go(generation.id, run_id, generation.fence)


async def held_by_the_dead(
    store: Store, watch: LeaseWatch, wanted: Callable[[UnderWay], bool]
) -> list[UnderWay]:
    """Returns the wanted ones of those whose holder has no lease, or one that has lapsed."""
    held = [one for one in await store.queue.held_by_others(()) if wanted(one)]
    if not held:
        return []
    # Read after what is held: a worker that has just started had its lease first.
    watch.look(await store.leases.all())
    return [one for one in held if not watch.lives(one.holder)]
