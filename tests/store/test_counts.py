"""How many there are by status."""

from __future__ import annotations

from core.status import FINAL, STATUSES
from store.counts import counts, counts_under_way
from store.store import Store
from tests.store.making import accepted, brought_to


async def test_what_has_not_ended_is_counted_without_the_rest(store: Store) -> None:
    for status in STATUSES:
        await brought_to(store, status)
    await accepted(store)
    await store.transitions.delete((await accepted(store)).id)

    every = await counts(store.database)
    assert every == {**dict.fromkeys(STATUSES, 1), "queued": 2}
    assert await counts_under_way(store.database) == {
        status: number for status, number in every.items() if status not in FINAL
    }
