"""The store's readers of many execute as many statements for five as for fifty."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from core.ids import item_id
from store.store import Store
from store.values import Batch, Generation, HistoryFilter
from tests.harness.statements import statements_of
from tests.store.batch_making import accepted_batch, ended_child, running_batch, started
from tests.store.making import accepted

FEW, MANY = 5, 50


async def count(store: Store, reading: Awaitable[Any]) -> int:
    with statements_of(store.database) as seen:
        await reading
    assert seen
    return len(seen)


async def queued(store: Store) -> list[Generation]:
    """Interactive and bulk ones, in turn."""
    priorities = ("interactive", "bulk") * (MANY // 2)
    return [await accepted(store, priority=priority) for priority in priorities]


@pytest.mark.parametrize(
    "read",
    [
        lambda store, ids: store.generations.places(ids),
        lambda store, ids: store.generations.of_ids(ids),
        lambda store, ids: store.generations.known(ids),
        lambda store, ids: store.generations.artefacts_of(ids),
        lambda store, ids: store.generations.of_runs(ids),
        lambda store, ids: store.generations.history(HistoryFilter(), len(ids), None),
    ],
    ids=["places", "of_ids", "known", "images_of", "of_runs", "history"],
)
async def test_readers_of_generations(
    store: Store, read: Callable[[Store, Sequence[UUID]], Awaitable[Any]]
) -> None:
    ids = [generation.id for generation in await queued(store)]

    assert await count(store, read(store, ids[:FEW])) == await count(store, read(store, ids)) == 1


async def batches_of_all_kinds(store: Store) -> list[Batch]:
    """New ones, ones under way, and ones with something to retry."""
    made = []
    for number in range(MANY):
        batch = await accepted_batch(store, 2)
        if number % 2:
            batch = await started(store, batch)
            assert await store.batch_transitions.release(batch.id, 2) == 2
            await ended_child(store, batch, 0, "succeeded")
            await ended_child(store, batch, 1, "failed")
            await store.batch_transitions.finish(batch.id, "failed")
            batch = await store.batch_transitions.retry(batch.id)
        made.append(batch)
    return made


async def test_readers_of_batches(store: Store) -> None:
    batches = await batches_of_all_kinds(store)
    ids = [batch.id for batch in batches]
    reader = store.batches

    assert await count(store, reader.figures(batches[:FEW])) == 3
    assert await count(store, reader.figures(batches)) == 3
    assert await count(store, reader.of_ids(ids)) == 1
    assert await count(store, reader.page(FEW, None)) == 1
    assert await count(store, reader.page(MANY, None)) == 1


async def test_readers_of_items(store: Store) -> None:
    batch = await running_batch(store, MANY, released=MANY)
    for position in range(MANY // 2):
        await ended_child(store, batch, position, "succeeded")
    assert await store.generations.artefacts(item_id(batch.id, 0))

    for limit in (FEW, MANY):
        assert await count(store, store.batches.items(batch.id, limit, None)) == 1
        assert await count(store, store.batches.artefacts(batch.id, limit)) == 1
