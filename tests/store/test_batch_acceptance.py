"""A batch is accepted as a whole, once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from core.batches.request import BatchOptions
from core.problems import FieldProblem
from store.batches.transitions import ACCEPTED_WITHIN, SKIPPED_KEPT
from store.errors import ConflictError, NotFoundError
from store.generations.acceptance import IdempotencyKey
from store.store import Store
from store.tables import batch_items, batches, generations, outbox
from store.values import Batch
from tests.harness.transactions import open_write
from tests.store.batch_making import (
    BY_CLIENT,
    SEED,
    accepted_batch,
    begun,
    being_accepted,
    new_items,
)
from tests.store.batch_values import KEY, rows_of
from tests.store.making import (
    RUN,
)


async def test_nobody_sees_a_batch_before_it_is_accepted(store: Store) -> None:
    batch_id = await being_accepted(store, new_items(3), key=KEY, flow_run_id=RUN)

    with pytest.raises(NotFoundError):
        await store.batches.get(batch_id)
    assert (await store.batches.page(10, None)).items == ()
    assert await store.batches.active() == ()
    assert await store.batches.of_run(RUN) is None
    assert await store.batches.of_key(KEY.key, KEY.body_sha256) is None
    assert await store.batches.ended_before(datetime.now(UTC) + timedelta(days=1), 10) == ()
    transitions = store.batch_transitions
    for change in (
        transitions.pause(batch_id, BY_CLIENT),
        transitions.resume(batch_id, None),
        transitions.request_cancel(batch_id),
        transitions.retry(batch_id),
        transitions.release(batch_id, 10),
        transitions.finish(batch_id, "failed"),
        transitions.lose_run(batch_id, 1),
    ):
        with pytest.raises(NotFoundError):
            await change
    assert await rows_of(store, generations) == 0


async def test_an_accepted_batch_is_there_with_nothing_begun(store: Store) -> None:
    batch_id = await being_accepted(
        store, new_items(3), key=KEY, schedule="nightly", max_in_flight=4, not_after="07:00"
    )

    batch = await store.batch_transitions.accept(batch_id, 3, 12.5)

    assert batch == await store.batches.get(batch_id)
    assert (batch.status, batch.name, batch.seed) == ("queued", "foxes", SEED)
    assert (batch.total, batch.cost, batch.released, batch.to_retry) == (3, 12.5, 0, 0)
    assert batch.options == BatchOptions(max_in_flight=4, not_after="07:00")
    assert (batch.schedule, batch.body_sha256, batch.run_number) == ("nightly", KEY.body_sha256, 1)
    assert (batch.started_at, batch.finished_at, batch.error) == (None, None, None)
    assert await rows_of(store, generations) == await rows_of(store, outbox) == 0


async def test_what_was_left_out_is_kept_up_to_a_bound(store: Store) -> None:
    batch_id = await being_accepted(store, new_items(1))
    left_out = [
        FieldProblem.of_row(row, "steps", "int_type", "no") for row in range(SKIPPED_KEPT + 5)
    ]

    await store.batch_transitions.accept(batch_id, 1, 1.0, left_out)

    kept = await store.batches.skipped(batch_id)
    assert [tuple(one.items()) for one in kept] == [
        (("row", row), ("column", "steps"), ("code", "int_type"), ("message", "no"))
        for row in range(SKIPPED_KEPT)
    ]


async def test_batches_are_in_the_order_of_their_acceptance(store: Store) -> None:
    first_begun = await being_accepted(store, new_items(1))
    second = await accepted_batch(store, 1)

    first = await store.batch_transitions.accept(first_begun, 1, 1.0)

    assert first.seq > second.seq
    assert await store.batches.active() == (second, first)


async def test_the_items_may_come_in_any_number_of_lots(store: Store) -> None:
    items = new_items(5)
    batch_id = await being_accepted(store, items[:2])
    await store.batch_transitions.add(batch_id, [])
    await store.batch_transitions.add(batch_id, items[2:])

    await store.batch_transitions.accept(batch_id, 5, 1.0)

    page = await store.batches.items(batch_id, 10, None)
    assert [(item.position, item.row, item.request) for item in page.items] == [
        (item.position, item.row, item.request) for item in items
    ]


async def test_the_same_batch_is_begun_once(store: Store) -> None:
    batch_id = await being_accepted(store)
    with pytest.raises(ConflictError):
        await begun(store, batch_id)

    await store.batch_transitions.accept(batch_id, 0, 0.0)
    with pytest.raises(ConflictError):
        await begun(store, batch_id)


async def test_a_key_makes_one_batch(store: Store) -> None:
    batch_id = await being_accepted(store, new_items(1), key=KEY)
    with pytest.raises(ConflictError):
        await being_accepted(store, key=KEY)

    await store.batch_transitions.accept(batch_id, 1, 1.0)
    with pytest.raises(ConflictError):
        await being_accepted(store, key=IdempotencyKey(KEY.key, "b" * 64))
    assert await rows_of(store, batches) == 1


async def test_a_key_makes_one_batch_also_at_once(store: Store, second: Store) -> None:
    outcomes = await asyncio.gather(
        *(accepted_batch(each, 2, key=KEY) for each in (store, second) * 3), return_exceptions=True
    )

    made = [outcome for outcome in outcomes if isinstance(outcome, Batch)]
    assert len(made) == 1
    assert all(isinstance(outcome, Batch | ConflictError) for outcome in outcomes)
    assert await store.batches.active() == tuple(made)
    assert await rows_of(store, batch_items) == 2


async def test_without_a_key_every_batch_is_its_own(store: Store) -> None:
    assert (await accepted_batch(store)).id != (await accepted_batch(store)).id
    assert len(await store.batches.active()) == 2


async def test_a_discarded_batch_leaves_nothing_and_its_key_is_free(store: Store) -> None:
    batch_id = await being_accepted(store, new_items(3), key=KEY)

    await store.batch_transitions.discard(batch_id)
    await store.batch_transitions.discard(batch_id)

    assert await rows_of(store, batches) == await rows_of(store, batch_items) == 0
    assert (await accepted_batch(store, 1, key=KEY)).status == "queued"


async def test_a_discarded_batch_takes_no_more_items(store: Store) -> None:
    batch_id = await being_accepted(store, new_items(1))
    await store.batch_transitions.discard(batch_id)

    with pytest.raises(NotFoundError):
        await store.batch_transitions.add(batch_id, new_items(1))
    with pytest.raises(NotFoundError):
        await store.batch_transitions.accept(batch_id, 1, 1.0)

    assert await rows_of(store, batch_items) == 0


async def test_an_accepted_batch_is_neither_discarded_nor_added_to(store: Store) -> None:
    batch = await accepted_batch(store)

    await store.batch_transitions.discard(batch.id)
    with pytest.raises(NotFoundError):
        await store.batch_transitions.add(batch.id, new_items(1))
    with pytest.raises(NotFoundError):
        await store.batch_transitions.accept(batch.id, 9, 9.0)

    assert await store.batches.get(batch.id) == batch
    assert await rows_of(store, batch_items) == 3


async def test_what_a_crash_left_half_accepted_is_forgotten(store: Store) -> None:
    accepted = await accepted_batch(store, 1)
    await being_accepted(store, new_items(2))
    moment = datetime.now(UTC)
    going_on = await being_accepted(store, new_items(1))

    assert await store.batch_transitions.discard_stale(moment) == 1
    assert await store.batch_transitions.discard_stale(moment) == 0

    assert await store.batches.get(accepted.id) == accepted
    assert await rows_of(store, batch_items) == 2
    assert (await store.batch_transitions.accept(going_on, 1, 1.0)).status == "queued"


async def test_a_create_that_died_keeps_its_key_for_a_while_only(store: Store) -> None:
    half = await being_accepted(store, new_items(2), key=KEY)
    with pytest.raises(ConflictError):
        await accepted_batch(store, 1, key=KEY)

    async with open_write(store.database) as connection:
        long_ago = datetime.now(UTC) - ACCEPTED_WITHIN - timedelta(seconds=1)
        await connection.execute(update(batches).values(created_at=long_ago))
    made = await accepted_batch(store, 1, key=KEY)

    assert await rows_of(store, batch_items) == 1
    with pytest.raises(NotFoundError):
        await store.batch_transitions.accept(half, 2, 1.0)
    with pytest.raises(ConflictError):
        await accepted_batch(store, 1, key=KEY)
    assert await store.batches.active() == (made,)
