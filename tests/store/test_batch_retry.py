"""What failed is made again, once for each retry."""

from __future__ import annotations

import asyncio

import pytest

from core.ids import item_id, prompt_id
from core.status import BATCH_ACTIVE, BatchStatus, Status
from store.errors import ConflictError
from store.store import Store
from store.values import Batch
from tests.store.batch_making import (
    batch_in,
    children,
    ended_badly,
    ended_child,
    started,
)
from tests.store.batch_values import marked
from tests.store.making import (
    OTHER_RUN,
    RUN,
    a_request,
    dispatched,
)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_retry_is_a_new_run_for_what_is_missing(store: Store, status: BatchStatus) -> None:
    ended = await ended_badly(store, "succeeded", "failed", "cancelled", "failed", to=status)

    again = await store.batch_transitions.retry(ended.id)

    assert again == await store.batches.get(ended.id)
    assert (again.status, again.to_retry, again.run_number) == ("queued", 3, 2)
    assert (again.flow_run_id, again.holder, again.window_ends_at) == (None, None, None)
    assert (again.error, again.waiting, again.finished_at) == (None, None, None)
    assert (again.seq, again.released) == (ended.seq, ended.released)
    assert await marked(store, ended) == [1, 2, 3]


@pytest.mark.parametrize("status", [*sorted(BATCH_ACTIVE), "succeeded"])
async def test_only_what_ended_badly_is_retried(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    with pytest.raises(ConflictError):
        await store.batch_transitions.retry(batch.id)

    assert await store.batches.get(batch.id) == batch


async def test_two_retries_at_once_are_one(store: Store, second: Store) -> None:
    ended = await ended_badly(store, "failed")

    outcomes = await asyncio.gather(
        *(each.batch_transitions.retry(ended.id) for each in (store, second)),
        return_exceptions=True,
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Batch", "ConflictError"]
    assert (await store.batches.get(ended.id)).run_number == 2


async def retried(store: Store, *ends: Status, total: int | None = None) -> Batch:
    """A batch whose second run has begun, after its first generations came to these ends."""
    ended = await ended_badly(store, *ends, total=total)
    await store.batch_transitions.retry(ended.id)
    return await started(store, ended, flow_run_id=OTHER_RUN)


async def test_what_was_never_begun_comes_before_further_attempts(store: Store) -> None:
    batch = await retried(store, "failed", "succeeded", "cancelled", total=5)

    assert await store.batch_transitions.release(batch.id, 3) == 3

    assert await children(store, batch) == [
        (0, "queued", 2),
        (1, "succeeded", 1),
        (2, "cancelled", 1),
        (3, "queued", 1),
        (4, "queued", 1),
    ]
    now = await store.batches.get(batch.id)
    assert (now.released, now.to_retry) == (5, 1)
    assert await marked(store, batch) == [2]


async def test_a_further_attempt_is_dispatched_like_any_retry(store: Store) -> None:
    batch = await retried(store, "failed", "failed")

    assert await store.batch_transitions.release(batch.id, 1) == 1

    again = await store.generations.get(item_id(batch.id, 0))
    assert (again.status, again.attempt, again.error) == ("queued", 2, None)
    assert again.request == a_request(prompt="item 0", seed=0, priority="bulk")
    assert (await dispatched(store, again.id))[-1] == ("start", 2)
    assert [a.prompt_id for a in await store.generations.attempts(again.id)] == [
        prompt_id(again.id, 1),
        prompt_id(again.id, 2),
    ]
    assert (await store.batches.get(batch.id)).to_retry == 1


async def test_nothing_has_two_attempts_for_one_retry(store: Store, second: Store) -> None:
    failed: list[Status] = ["failed"] * 8
    batch = await retried(store, *failed, total=12)

    released = await asyncio.gather(
        *(each.batch_transitions.release(batch.id, 2) for each in (store, second) * 5)
    )

    assert sum(released) == 12
    assert [attempt for _, _, attempt in await children(store, batch)] == [2] * 8 + [1] * 4
    assert (await store.batches.get(batch.id)).to_retry == 0
    assert await store.batch_transitions.release(batch.id, 10) == 0


async def test_a_client_that_was_quicker_is_not_followed_by_another_attempt(store: Store) -> None:
    batch = await retried(store, "failed", "failed")
    await store.transitions.retry(item_id(batch.id, 0))

    assert await store.batch_transitions.release(batch.id, 10) == 1

    assert await children(store, batch) == [(0, "queued", 2), (1, "queued", 2)]
    assert (await store.batches.get(batch.id)).to_retry == 0


async def test_a_deleted_item_has_no_further_attempt(store: Store) -> None:
    ended = await ended_badly(store, "failed", "failed", "failed")
    await store.transitions.delete(item_id(ended.id, 0))

    assert (await store.batch_transitions.retry(ended.id)).to_retry == 2
    await store.transitions.delete(item_id(ended.id, 1))
    await started(store, ended, flow_run_id=OTHER_RUN)

    assert await store.batch_transitions.release(ended.id, 10) == 1
    assert [attempt for _, _, attempt in await children(store, ended)] == [1, 1, 2]
    assert (await store.batches.get(ended.id)).to_retry == 0


async def test_a_mark_that_was_left_takes_nobodys_place_in_the_next_retry(store: Store) -> None:
    """A retry was cancelled before it began anything, and one of its items deleted since."""
    ended = await ended_badly(store, "failed", "failed", "failed")
    await store.batch_transitions.retry(ended.id)
    await store.batch_transitions.request_cancel(ended.id)
    await store.batch_transitions.finish(ended.id, "cancelled")
    await store.transitions.delete(item_id(ended.id, 0))

    again = await store.batch_transitions.retry(ended.id)
    assert again.to_retry == 2
    await started(store, again)
    for _ in range(5):
        await store.batch_transitions.release(ended.id, 1)

    assert [attempt for _, _, attempt in await children(store, ended)] == [1, 2, 2]


async def test_what_fails_again_can_be_retried_again(store: Store) -> None:
    batch = await retried(store, "failed", "succeeded")
    await store.batch_transitions.release(batch.id, 10)
    await ended_child(store, batch, 0, "failed")
    await store.batch_transitions.finish(batch.id, "failed")

    assert (await store.batch_transitions.retry(batch.id)).to_retry == 1
    await started(store, batch, flow_run_id=RUN)
    assert await store.batch_transitions.release(batch.id, 10) == 1

    assert await children(store, batch) == [(0, "queued", 3), (1, "succeeded", 1)]
