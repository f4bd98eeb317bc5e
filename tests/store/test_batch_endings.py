"""A batch is paused, cancelled and ended; all that ends it ends it once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.ids import item_id
from core.status import BATCH_ACTIVE, BatchStatus
from store.errors import ConflictError, NotFoundError
from store.store import Store
from store.tables import batch_items
from tests.store.batch_making import (
    BY_CLIENT,
    INCOMPLETE,
    accepted_batch,
    batch_in,
    children,
    ended_badly,
    new_items,
    running_batch,
)
from tests.store.batch_values import ENDED, LATER, PREFECT_PAUSED, rows_of
from tests.store.making import (
    LEASE,
    NEVER,
    running,
)

# --- the end


@pytest.mark.parametrize("status", sorted(BATCH_ACTIVE))
async def test_what_is_active_comes_to_one_end(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    assert await store.batch_transitions.finish(batch.id, "failed", INCOMPLETE)
    ended = await store.batches.get(batch.id)
    assert not await store.batch_transitions.finish(batch.id, "succeeded")

    assert await store.batches.get(batch.id) == ended
    assert (ended.status, ended.error, ended.waiting) == ("failed", INCOMPLETE, None)
    assert ended.holder is None
    assert ended.finished_at is not None
    assert await store.batches.active() == ()


async def test_two_ends_at_once_are_one(store: Store, second: Store) -> None:
    batch = await running_batch(store)

    ends = await asyncio.gather(
        store.batch_transitions.finish(batch.id, "succeeded"),
        second.batch_transitions.finish(batch.id, "cancelled"),
    )

    assert sorted(ends) == [False, True]


# --- pause and resume


@pytest.mark.parametrize("status", ["queued", "running"])
async def test_a_paused_batch_says_why_and_goes_on_as_it_was(
    store: Store, status: BatchStatus
) -> None:
    batch = await batch_in(store, status)

    paused = await store.batch_transitions.pause(batch.id, BY_CLIENT)
    assert (paused.status, paused.waiting) == ("paused", BY_CLIENT)
    assert paused == await store.batches.get(batch.id)

    resumed = await store.batch_transitions.resume(batch.id, LATER)
    assert (resumed.status, resumed.waiting, resumed.window_ends_at) == (status, None, LATER)
    assert resumed == await store.batches.get(batch.id)


async def test_a_second_pause_changes_nothing(store: Store) -> None:
    batch = await batch_in(store, "paused")

    assert await store.batch_transitions.pause(batch.id, PREFECT_PAUSED) == batch


@pytest.mark.parametrize("status", ["queued", "running"])
async def test_a_resume_of_what_is_not_paused_changes_nothing(
    store: Store, status: BatchStatus
) -> None:
    batch = await batch_in(store, status)

    assert await store.batch_transitions.resume(batch.id, LATER) == batch


@pytest.mark.parametrize("status", [*ENDED, "cancelling"])
async def test_what_is_not_to_go_on_is_neither_paused_nor_resumed(
    store: Store, status: BatchStatus
) -> None:
    batch = await batch_in(store, status)

    with pytest.raises(ConflictError):
        await store.batch_transitions.pause(batch.id, BY_CLIENT)
    with pytest.raises(ConflictError):
        await store.batch_transitions.resume(batch.id, None)

    assert await store.batches.get(batch.id) == batch


async def test_a_pause_leaves_what_is_under_way_alone(store: Store) -> None:
    batch = await running_batch(store, 3, released=2)
    await running(store, item_id(batch.id, 0))

    await store.batch_transitions.pause(batch.id, BY_CLIENT)

    assert await children(store, batch) == [(0, "running", 1), (1, "queued", 1)]
    assert await store.batch_transitions.release(batch.id, 10) == 0


# --- cancel


@pytest.mark.parametrize("status", ["queued", "running", "paused"])
async def test_a_cancel_is_asked_for_once(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    asked = await store.batch_transitions.request_cancel(batch.id)

    assert (asked.status, asked.waiting, asked.finished_at) == ("cancelling", None, None)
    assert await store.batch_transitions.request_cancel(batch.id) == asked
    assert await store.batches.get(batch.id) == asked


@pytest.mark.parametrize("status", ENDED)
async def test_what_has_ended_cannot_be_cancelled(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    with pytest.raises(ConflictError):
        await store.batch_transitions.request_cancel(batch.id)

    assert await store.batches.get(batch.id) == batch


async def test_a_cancel_leaves_nothing_to_release(store: Store, second: Store) -> None:
    batch = await running_batch(store, 20)

    await asyncio.gather(
        second.batch_transitions.request_cancel(batch.id),
        *(store.batch_transitions.release(batch.id, 1) for _ in range(5)),
    )

    made = len(await children(store, batch))
    assert await store.batch_transitions.release(batch.id, 20) == 0
    assert (await store.batches.get(batch.id)).released == made


# --- retention


async def test_a_removed_batch_leaves_its_generations(store: Store) -> None:
    ended = await ended_badly(store, "succeeded", "failed", total=3)
    other = await accepted_batch(store, 1)

    await store.batch_transitions.remove(ended.id)

    with pytest.raises(NotFoundError):
        await store.batches.get(ended.id)
    assert await store.batches.get(other.id) == other
    assert await rows_of(store, batch_items) == 1
    assert (await store.generations.get(item_id(ended.id, 0))).status == "succeeded"
    assert await store.batches.membership(item_id(ended.id, 0)) is None


# --- what every change has in common


async def test_what_never_was_cannot_be_changed(store: Store) -> None:
    transitions = store.batch_transitions
    changes: list[Any] = [
        transitions.pause(NEVER, BY_CLIENT),
        transitions.resume(NEVER, None),
        transitions.request_cancel(NEVER),
        transitions.retry(NEVER),
        transitions.release(NEVER, 1),
        transitions.finish(NEVER, "failed"),
        transitions.lose_run(NEVER, 1),
        transitions.add(NEVER, new_items(1)),
        transitions.accept(NEVER, 1, 1.0),
    ]
    for change in changes:
        with pytest.raises(NotFoundError):
            await change
    assert not await transitions.let_go(NEVER, LEASE)
    await transitions.discard(NEVER)
    await transitions.remove(NEVER)


async def test_a_change_that_is_cancelled_is_made_all_the_same(store: Store) -> None:
    """Or not at all, when it has not begun; nothing is left locked."""
    batch = await running_batch(store, 3)
    releasing = asyncio.create_task(store.batch_transitions.release(batch.id, 2))
    await asyncio.sleep(0)
    releasing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await releasing

    released = len(await children(store, batch))
    assert released in (0, 2)
    assert await store.batch_transitions.release(batch.id, 10) == 3 - released
