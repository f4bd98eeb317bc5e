"""A worker that takes from the store's queue, as it may choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from store.store import Store
from store.values import Claim, Generation, Holder, Queued
from tests.store.making import COMFY, LEASE, PAUSED, RUN, held

BOTH: Final = ("interactive", "bulk")
"""Whoever takes both chooses from all that waits."""


def first(offered: Sequence[Queued]) -> Queued | None:
    """The choice of who takes things in their order."""
    return offered[0]


def a_holder(lease: UUID = LEASE) -> Holder:
    return Holder("gpu-1", lease, COMFY)


async def taking(store: Store, lease: UUID = LEASE, **options: Any) -> Claim | None:
    """Take the first of all that waits, unless ``options`` say otherwise; None if there is none."""
    return await store.queue.take(
        a_holder(lease), **{"choose": first, "priorities": BOTH, **options}
    )


async def took(store: Store, lease: UUID = LEASE, **options: Any) -> Claim:
    """As ``taking``, where something waits."""
    claim = await taking(store, lease, **options)
    assert claim is not None
    return claim


async def all_taken(store: Store) -> list[UUID]:
    """Whatever waits, in the order in which it is taken."""
    found = []
    while claim := await taking(store):
        found.append(claim.generation_id)
    return found


async def offered(store: Store, priorities: Sequence[str] = BOTH) -> list[UUID]:
    """What a worker may choose from; it leaves all of it."""
    seen: list[Queued] = []

    def look(page: Sequence[Queued]) -> None:
        seen.extend(page)

    assert await store.queue.take(a_holder(), look, priorities) is None
    return [one.generation_id for one in seen]


async def paused(store: Store) -> Generation:
    """Its flow run RUN was paused by an operator."""
    made, _ = await held(store)
    assert await store.flow_runs.let_go(made.id, RUN, made.fence, PAUSED)
    return await store.generations.get(made.id)
