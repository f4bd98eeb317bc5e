"""Items of a batch are released in their turn, each once."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from core.ids import item_id, prompt_id
from core.status import BatchStatus, Status
from store.errors import ConflictError, NotFoundError
from store.store import Store
from store.tables import batch_items, outbox
from tests.harness.transactions import open_read
from tests.store.batch_making import (
    BY_CLIENT,
    batch_in,
    children,
    ended_badly,
    running_batch,
    started,
)
from tests.store.batch_values import STATUSES, rows_of
from tests.store.making import (
    a_request,
    dispatched,
    taken,
)


async def test_items_are_released_in_their_turn(store: Store) -> None:
    batch = await running_batch(store, 4, turns=[2, 0, 3, 1])

    assert await store.batch_transitions.release(batch.id, 3) == 3

    assert [position for position, _, _ in await children(store, batch)] == [1, 3, 0]
    assert (await store.batches.get(batch.id)).released == 3


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4, 1000])
async def test_no_more_are_released_than_asked_for(store: Store, most: int) -> None:
    batch = await running_batch(store, 3)

    assert await store.batch_transitions.release(batch.id, most) == min(most, 3)

    assert len(await children(store, batch)) == min(most, 3)


async def test_each_item_is_released_once(store: Store) -> None:
    batch = await running_batch(store, 5)

    released = [await store.batch_transitions.release(batch.id, 2) for _ in range(4)]

    assert released == [2, 2, 1, 0]
    assert await children(store, batch) == [(position, "queued", 1) for position in range(5)]


async def test_each_item_is_released_once_also_at_once(store: Store, second: Store) -> None:
    batch = await running_batch(store, 25)

    released = await asyncio.gather(
        *(each.batch_transitions.release(batch.id, 3) for each in (store, second) * 6)
    )

    assert sum(released) == 25
    assert await children(store, batch) == [(position, "queued", 1) for position in range(25)]
    assert await rows_of(store, outbox) == 25
    assert (await store.batches.get(batch.id)).released == 25


async def test_a_released_item_is_a_generation_like_any_other(store: Store) -> None:
    batch = await running_batch(store, 2, released=1)

    made = await store.generations.get(item_id(batch.id, 0))

    assert (made.status, made.attempt, made.batch_id) == ("queued", 1, batch.id)
    assert made.request == a_request(prompt="item 0", seed=0, priority="bulk")
    assert made.cost == batch.cost / 2
    [attempt] = await store.generations.attempts(made.id)
    assert (attempt.number, attempt.prompt_id) == (1, prompt_id(made.id, 1))
    assert await dispatched(store, made.id) == [("start", 1)]
    [dispatch] = await taken(store)
    assert (dispatch.subject, dispatch.rank) == (made.id, 2)
    with pytest.raises(NotFoundError):
        await store.generations.get(item_id(batch.id, 1))


async def test_the_request_leaves_the_item_when_it_is_released(store: Store) -> None:
    await running_batch(store, 3, turns=[0, 2, 1], released=2)

    async with open_read(store.database) as connection:
        statement = select(batch_items.c.request).order_by(batch_items.c.position)
        kept = [row.request for row in await connection.execute(statement)]

    assert [request is None for request in kept] == [True, False, True]
    assert kept[1]["prompt"] == "item 1"


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "running"])
async def test_nothing_is_released_unless_it_runs(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    assert await store.batch_transitions.release(batch.id, 10) == 0

    assert await children(store, batch) == []
    assert await store.batches.get(batch.id) == batch


async def test_releasing_beside_everything_else_is_never_in_the_way(
    store: Store, second: Store
) -> None:
    """On PostgreSQL two writes that lock rows and change counter in other orders deadlock."""
    ends: list[Status] = ["failed"] * 12
    ended = await ended_badly(store, *ends, total=16)
    await store.batch_transitions.retry(ended.id)
    batch = await started(store, ended)
    ids = [item_id(batch.id, position) for position in range(12)]

    outcomes = await asyncio.gather(
        *(second.transitions.retry(child) for child in ids[6:]),
        *(each.batch_transitions.release(batch.id, 8) for each in (store, second)),
        *(store.transitions.delete(child) for child in ids[::3]),
        second.batch_transitions.pause(batch.id, BY_CLIENT),
        store.batch_transitions.resume(batch.id, None),
        second.batch_transitions.request_cancel(batch.id),
        return_exceptions=True,
    )

    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(error, ConflictError | NotFoundError) for error in errors), errors
    assert (await store.batches.get(batch.id)).status == "cancelling"
    assert {attempt for _, _, attempt in await children(store, batch)} <= {1, 2}
