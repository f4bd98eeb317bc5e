"""Reading batches: how they stand, page by page, and how fast they get on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

import pytest

from core.ids import item_id
from core.status import BATCH_ACTIVE, STATUSES, BatchStatus, Status
from store.batches.figures import RATE_OVER, BatchFigures
from store.cursors import write_cursor
from store.errors import IdempotencyMismatchError, InvalidCursorError, NotFoundError
from store.generations.acceptance import IdempotencyKey
from store.store import Store
from store.values import Batch, BatchCounts, HistoryFilter, Membership
from tests.store.batch_making import (
    accepted_batch,
    batch_in,
    ended_badly,
    ended_child,
    running_batch,
    started,
    timed,
)
from tests.store.making import (
    NEVER,
    OTHER_RUN,
    accepted,
    an_image,
    brought_to,
    claimed,
    running,
)

KEY = IdempotencyKey("order-42", "a" * 64)
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BATCH_STATUSES: tuple[BatchStatus, ...] = get_args(BatchStatus)
NOTHING = BatchCounts(
    waiting=0, queued=0, running=0, cancelling=0, succeeded=0, failed=0, cancelled=0, deleted=0
)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


async def figures(store: Store, batch: Batch) -> BatchFigures:
    return (await store.batches.figures([batch]))[batch.id]


# --- one


async def test_what_never_was_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError):
        await store.batches.get(NEVER)
    assert await store.batches.of_run(NEVER) is None
    assert await store.batches.membership(NEVER) is None


async def test_a_key_finds_what_it_made(store: Store) -> None:
    batch = await accepted_batch(store, 1, key=KEY)

    assert await store.batches.of_key(KEY.key, KEY.body_sha256) == batch
    assert await store.batches.of_key("another", KEY.body_sha256) is None


async def test_a_key_that_was_used_with_another_body_is_told(store: Store) -> None:
    await accepted_batch(store, 1, key=KEY)

    with pytest.raises(IdempotencyMismatchError):
        await store.batches.of_key(KEY.key, "b" * 64)


# --- pages of batches


async def test_no_batches_are_a_page_too(store: Store) -> None:
    page = await store.batches.page(10, None)

    assert (page.items, page.next_cursor) == ((), None)


async def test_pages_show_every_batch_once_while_more_arrive(store: Store) -> None:
    made = [await accepted_batch(store, 1) for _ in range(5)]
    seen: list[Batch] = []
    cursor: str | None = None

    for _ in range(10):
        page = await store.batches.page(2, cursor)
        assert len(page.items) <= 2
        seen += page.items
        cursor = page.next_cursor
        await accepted_batch(store, 1)
        if cursor is None:
            break

    assert cursor is None
    assert seen == made[::-1]


async def test_a_last_page_that_is_full_has_no_next(store: Store) -> None:
    for _ in range(2):
        await accepted_batch(store, 1)

    assert (await store.batches.page(2, None)).next_cursor is None


async def test_active_are_those_that_have_not_ended(store: Store) -> None:
    made = [await batch_in(store, status) for status in BATCH_STATUSES]

    assert await store.batches.active() == tuple(
        batch for batch in made if batch.status in BATCH_ACTIVE
    )


async def test_what_ended_long_ago_is_found_for_retention(store: Store) -> None:
    for status in BATCH_STATUSES:
        await batch_in(store, status)
    ended = {batch.id for batch in (await store.batches.page(100, None)).items if batch.finished_at}
    soon = datetime.now(UTC) + seconds(60)

    assert len(ended) == 3
    assert set(await store.batches.ended_before(soon, 100)) == ended
    assert len(await store.batches.ended_before(soon, 2)) == 2
    assert await store.batches.ended_before(soon - timedelta(days=1), 100) == ()


# --- counts


async def test_nothing_of_an_accepted_batch_is_begun(store: Store) -> None:
    batch = await accepted_batch(store, 4)

    counts = await store.batches.counts(batch)

    assert (counts.waiting, counts.active, counts.ended) == (4, 0, 0)


async def test_every_item_is_counted_once(store: Store) -> None:
    batch = await running_batch(store, 9, released=7)
    await running(store, item_id(batch.id, 1))
    held = await running(store, item_id(batch.id, 2))
    await store.transitions.request_cancel(held.generation_id)
    await ended_child(store, batch, 3, "succeeded")
    await ended_child(store, batch, 4, "failed")
    await ended_child(store, batch, 5, "cancelled")
    await store.transitions.delete(await ended_child(store, batch, 6, "succeeded"))

    counts = await store.batches.counts(batch)

    assert counts == BatchCounts(
        waiting=2,
        queued=1,
        running=1,
        cancelling=1,
        succeeded=1,
        failed=1,
        cancelled=1,
        deleted=1,
    )
    assert (counts.active, counts.ended) == (3, 4)


async def test_the_generations_of_others_are_not_counted(store: Store) -> None:
    await brought_to(store, "failed")
    await ended_badly(store, "failed", "succeeded")
    batch = await running_batch(store, 1, released=1)

    counts = await store.batches.counts(batch)

    assert (counts.queued, counts.failed, counts.succeeded) == (1, 0, 0)


async def test_what_is_to_have_another_attempt_waits(store: Store) -> None:
    ended = await ended_badly(store, "succeeded", "failed", "cancelled", "failed", total=5)
    before = await store.batches.counts(ended)
    assert (before.waiting, before.failed, before.cancelled) == (1, 2, 1)

    again = await store.batch_transitions.retry(ended.id)

    after = await store.batches.counts(again)
    assert (after.waiting, after.failed, after.cancelled, after.succeeded) == (4, 0, 0, 1)
    assert (after.active, after.ended) == (0, 1)


async def test_a_further_attempt_does_not_wait_any_more(store: Store) -> None:
    ended = await ended_badly(store, "failed", "failed", "failed")
    await store.batch_transitions.retry(ended.id)
    await started(store, ended, flow_run_id=OTHER_RUN)

    await store.batch_transitions.release(ended.id, 2)
    counts = await store.batches.counts(await store.batches.get(ended.id))
    assert (counts.waiting, counts.queued, counts.failed) == (1, 2, 0)

    await ended_child(store, ended, 0, "failed")
    counts = await store.batches.counts(await store.batches.get(ended.id))
    assert (counts.waiting, counts.queued, counts.failed) == (1, 1, 1)


async def test_a_failure_counts_though_cancelled_ones_wait_for_another_attempt(
    store: Store,
) -> None:
    """Else a batch that stops after one failure goes on after several."""
    ended = await ended_badly(store, "cancelled", "cancelled", total=4, to="cancelled")
    await store.batch_transitions.retry(ended.id)
    await started(store, ended, flow_run_id=OTHER_RUN)
    await store.batch_transitions.release(ended.id, 1)

    await ended_child(store, ended, 2, "failed")

    counts = await store.batches.counts(await store.batches.get(ended.id))
    assert (counts.waiting, counts.failed, counts.cancelled) == (3, 1, 0)


async def test_what_a_client_retried_or_deleted_does_not_wait(store: Store) -> None:
    ended = await ended_badly(store, "failed", "failed", "failed")
    await store.batch_transitions.retry(ended.id)

    await store.transitions.retry(item_id(ended.id, 0))
    await store.transitions.delete(item_id(ended.id, 1))

    counts = await store.batches.counts(await store.batches.get(ended.id))
    assert (counts.waiting, counts.queued, counts.failed, counts.deleted) == (1, 1, 0, 1)


# --- items


async def test_items_are_in_the_manifests_order_whatever_their_turn(store: Store) -> None:
    batch = await running_batch(store, 4, turns=[3, 1, 0, 2], released=2)

    page = await store.batches.items(batch.id, 10, None)

    assert [item.position for item in page.items] == [0, 1, 2, 3]
    assert [item.row for item in page.items] == [2, 3, 4, 5]
    assert [item.generation_id for item in page.items] == [item_id(batch.id, n) for n in range(4)]
    assert [item.generation is not None for item in page.items] == [False, True, True, False]
    prompts = [item.request.prompt for item in page.items if item.request]
    assert prompts == [f"item {position}" for position in range(4)]
    made = page.items[1].generation
    assert made == await store.generations.get(item_id(batch.id, 1))


async def test_items_come_page_by_page(store: Store) -> None:
    batch = await running_batch(store, 7, released=3)
    await accepted_batch(store, 2)
    seen: list[int] = []
    cursor: str | None = None

    for _ in range(10):
        page = await store.batches.items(batch.id, 3, cursor)
        seen += [item.position for item in page.items]
        cursor = page.next_cursor
        await store.batch_transitions.release(batch.id, 1)
        if cursor is None:
            break

    assert seen == list(range(7))


async def test_pages_lead_back_as_they_led_on(store: Store) -> None:
    batch = await running_batch(store, 7, released=3)
    others = [await accepted_batch(store, 1) for _ in range(4)]
    third = await store.batches.items(batch.id, 3, write_cursor("i", 5))
    second = await store.batches.items(batch.id, 3, third.previous_cursor)
    first = await store.batches.items(batch.id, 3, second.previous_cursor)
    again = await store.batches.items(batch.id, 3, second.next_cursor)

    assert [item.position for item in first.items + second.items] == list(range(6))
    assert first.previous_cursor is None
    assert again == third

    newest = await store.batches.page(2, None)
    older = await store.batches.page(2, newest.next_cursor)
    assert older.items == (others[1], others[0])
    back = await store.batches.page(2, older.previous_cursor)
    assert (back.items, back.previous_cursor) == (newest.items, None)


async def test_a_full_last_page_of_items_has_no_next(store: Store) -> None:
    batch = await accepted_batch(store, 2)

    assert (await store.batches.items(batch.id, 2, None)).next_cursor is None


async def test_items_by_status(store: Store) -> None:
    batch = await running_batch(store, 8, released=7)
    ends: dict[int, Status] = {0: "succeeded", 2: "failed", 3: "succeeded", 5: "cancelled"}
    for position, status in ends.items():
        await ended_child(store, batch, position, status)

    async def positions(*status: Status, limit: int = 100) -> list[int]:
        page = await store.batches.items(batch.id, limit, None, status)
        return [item.position for item in page.items]

    assert await positions("succeeded") == [0, 3]
    assert await positions("failed", "cancelled") == [2, 5]
    assert await positions("queued") == [1, 4, 6]
    assert await positions("running") == []
    assert await positions(*STATUSES) == [0, 1, 2, 3, 4, 5, 6]
    first = await store.batches.items(batch.id, 1, None, ("succeeded",))
    second = await store.batches.items(batch.id, 1, first.next_cursor, ("succeeded",))
    assert [item.position for item in second.items] == [3]
    assert second.next_cursor is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "zx81canary",
        "aQ",
        "!!!!",
        "i5",
        write_cursor("g", 5),
        write_cursor("G", 5),
        write_cursor("i", 2**31),
        write_cursor("I", 2**31),
        "ZzEwMDAwMDAwMDAwMDAwMDAwMDAwMA",
    ],
)
async def test_a_forged_cursor_is_refused(store: Store, cursor: str) -> None:
    batch = await accepted_batch(store)

    with pytest.raises(InvalidCursorError):
        await store.batches.items(batch.id, 10, cursor)
    with pytest.raises(InvalidCursorError):
        await store.batches.page(10, cursor)


async def test_a_cursor_is_good_for_its_own_kind_of_page_only(store: Store) -> None:
    for _ in range(2):
        batch = await accepted_batch(store)
        await accepted(store)
    of_items = (await store.batches.items(batch.id, 1, None)).next_cursor
    of_batches = (await store.batches.page(1, None)).next_cursor
    of_history = (await store.generations.history(HistoryFilter(), 1, None)).next_cursor
    assert of_items
    assert of_batches
    assert of_history

    for other in (of_batches, of_history):
        with pytest.raises(InvalidCursorError):
            await store.batches.items(batch.id, 1, other)
    for other in (of_items, of_history):
        with pytest.raises(InvalidCursorError):
            await store.batches.page(1, other)
    for other in (of_items, of_batches):
        with pytest.raises(InvalidCursorError):
            await store.generations.history(HistoryFilter(), 1, other)


async def test_the_item_of_a_deleted_generation_stays_without_its_words(store: Store) -> None:
    batch = await running_batch(store, 2, released=1)
    await store.transitions.delete(item_id(batch.id, 0))

    deleted, waiting = (await store.batches.items(batch.id, 10, None)).items

    assert deleted.request is None
    assert deleted.generation is not None
    assert deleted.generation.deleted_at is not None
    assert (waiting.generation, waiting.request is not None) == (None, True)


# --- its generations


async def test_a_generation_says_which_batch_it_is_of(store: Store) -> None:
    batch = await running_batch(store, 3, turns=[2, 1, 0], released=1)

    found = await store.batches.membership(item_id(batch.id, 2))

    assert found == Membership(batch.id, "foxes", 2, 3)
    assert await store.batches.membership((await accepted(store)).id) is None
    history = await store.generations.history(HistoryFilter(batch_id=batch.id), 10, None)
    assert [item.id for item in history.items] == [item_id(batch.id, 2)]


async def test_under_way_are_those_that_have_not_ended(store: Store) -> None:
    batch = await running_batch(store, 7, released=6)
    await running(store, item_id(batch.id, 1))
    held = await running(store, item_id(batch.id, 2))
    await store.transitions.request_cancel(held.generation_id)
    await ended_child(store, batch, 3, "succeeded")
    await ended_child(store, batch, 4, "failed")
    await store.transitions.delete(item_id(batch.id, 5))

    found = await store.batches.active_children(batch.id)

    assert set(found) == {item_id(batch.id, position) for position in range(3)}


async def pictured(store: Store, batch: Batch, position: int, count: int) -> None:
    claim = await claimed(store, item_id(batch.id, position))
    await store.transitions.start(claim, datetime.now(UTC))
    await store.transitions.succeed(claim, [an_image(claim, number) for number in range(count)])


async def test_pictures_are_in_the_manifests_order(store: Store) -> None:
    batch = await running_batch(store, 5, turns=[4, 3, 2, 1, 0], released=5)
    for position, count in ((3, 2), (0, 1), (1, 3)):
        await pictured(store, batch, position, count)
    await store.transitions.delete(item_id(batch.id, 0))
    await ended_child(store, batch, 2, "failed")

    async def found(limit: int, after: int = -1, main_only: bool = False) -> list[tuple[int, int]]:
        shown = await store.batches.artefacts(batch.id, limit, after, main_only=main_only)
        return [(position, image.position) for position, image in shown]

    assert await found(10) == [(1, 0), (1, 1), (1, 2), (3, 0), (3, 1)]
    assert await found(10, main_only=True) == [(1, 0), (3, 0)]
    assert await found(1) == [(1, 0), (1, 1), (1, 2)]
    assert await found(10, after=1) == [(3, 0), (3, 1)]


# --- how it gets on


async def ended_at(store: Store, batch: Batch, position: int, at: datetime) -> None:
    child = await ended_child(store, batch, position, "succeeded")
    await timed(store, child, finished_at=at)


async def test_the_rate_is_measured_between_ends(store: Store) -> None:
    batch = await running_batch(store, 6, released=5)
    assert (await figures(store, batch)).rate is None

    await ended_at(store, batch, 0, NOON)
    assert (await figures(store, batch)).rate is None

    await ended_at(store, batch, 2, NOON + seconds(30))
    await ended_at(store, batch, 1, NOON + seconds(10))
    assert (await figures(store, batch)).rate == pytest.approx(2 / 30)


async def test_what_failed_at_once_is_no_pace(store: Store) -> None:
    batch = await running_batch(store, 6, released=6)
    for position, status in ((0, "failed"), (1, "failed"), (2, "cancelled")):
        child = await ended_child(store, batch, position, status)  # type: ignore[arg-type]
        await timed(store, child, finished_at=NOON + seconds(0.1 * position))
    assert (await figures(store, batch)).rate is None

    await ended_at(store, batch, 3, NOON + seconds(10))
    await ended_at(store, batch, 4, NOON + seconds(20))
    assert (await figures(store, batch)).rate == pytest.approx(1 / 10)


async def test_ends_at_one_moment_have_no_rate(store: Store) -> None:
    batch = await running_batch(store, 2, released=2)
    for position in range(2):
        await ended_at(store, batch, position, NOON)

    assert (await figures(store, batch)).rate is None


async def test_the_rate_is_that_of_the_newest(store: Store) -> None:
    """Ten that took ten seconds each, then as many as count that took one."""
    count = 10 + RATE_OVER
    batch = await running_batch(store, count, released=count)
    at = NOON
    for position in range(count):
        at += seconds(10 if position < 10 else 1)
        await ended_at(store, batch, position, at)

    assert (await figures(store, batch)).rate == pytest.approx(1.0)


async def test_a_pause_does_not_count(store: Store) -> None:
    batch = await running_batch(store, 8, released=8)
    for position in range(8):
        paused = timedelta(hours=3) if position > 3 else seconds(0)
        await ended_at(store, batch, position, NOON + paused + seconds(10 * position))

    assert (await figures(store, batch)).rate == pytest.approx(1 / 10)


async def test_the_rate_of_many_gpus_that_end_together_is_theirs(store: Store) -> None:
    """Eight of them in step: what lies between two lots is no pause."""
    batch = await running_batch(store, 24, released=24)
    for position in range(24):
        lot, within = divmod(position, 8)
        await ended_at(store, batch, position, NOON + seconds(10 * lot + 0.01 * within))

    assert (await figures(store, batch)).rate == pytest.approx(8 / 10, rel=0.5)


async def test_gpu_seconds_are_those_of_what_ended(store: Store) -> None:
    batch = await running_batch(store, 5, released=5)
    assert (await figures(store, batch)).gpu_seconds == 0.0
    for position, status, spent in ((0, "succeeded", 2.5), (1, "failed", 60.25)):
        child = await ended_child(store, batch, position, status)  # type: ignore[arg-type]
        await timed(store, child, started_at=NOON, finished_at=NOON + seconds(spent))
    never_began = await ended_child(store, batch, 2, "cancelled")
    await timed(store, never_began, started_at=None, finished_at=NOON)
    clock_set_back = await ended_child(store, batch, 3, "succeeded")
    await timed(store, clock_set_back, started_at=NOON, finished_at=NOON - seconds(100))
    await running(store, item_id(batch.id, 4))
    await brought_to(store, "succeeded")

    assert (await figures(store, batch)).gpu_seconds == pytest.approx(62.75, abs=0.01)


async def test_gpu_seconds_go_across_midnight(store: Store) -> None:
    batch = await running_batch(store, 1, released=1)
    child = await ended_child(store, batch, 0, "succeeded")
    start = datetime(2026, 3, 1, 23, 59, 59, 500_000, tzinfo=UTC)
    await timed(store, child, started_at=start, finished_at=start + seconds(3))

    assert (await figures(store, batch)).gpu_seconds == pytest.approx(3.0, abs=0.01)


async def test_what_is_left_to_do_is_all_that_has_not_ended(store: Store) -> None:
    batch = await running_batch(store, 4, released=3)
    assert (await figures(store, batch)).remaining_cost == pytest.approx(batch.cost)

    await ended_child(store, batch, 0, "succeeded")
    await ended_child(store, batch, 1, "failed")
    await running(store, item_id(batch.id, 2))

    assert (await figures(store, batch)).remaining_cost == pytest.approx(batch.cost / 2)


async def test_what_is_to_have_another_attempt_is_left_to_do(store: Store) -> None:
    ended = await ended_badly(store, "succeeded", "failed", "cancelled", "failed")
    assert (await figures(store, ended)).remaining_cost == 0.0

    again = await store.batch_transitions.retry(ended.id)

    assert (await figures(store, again)).remaining_cost == pytest.approx(again.cost * 3 / 4)


async def test_nothing_is_left_to_do_of_a_batch_that_was_made(store: Store) -> None:
    ended = await ended_badly(store, "succeeded", "succeeded", to="succeeded")

    assert (await figures(store, ended)).remaining_cost == 0.0
    assert await store.batches.counts(ended) == _with(succeeded=2)


def _with(**counts: int) -> BatchCounts:
    return BatchCounts(**{**NOTHING.__dict__, **counts})


async def test_each_batch_has_items_of_its_own(store: Store) -> None:
    first, second = await accepted_batch(store, 2), await accepted_batch(store, 2)

    async def ids(batch: Batch) -> set[UUID]:
        page = await store.batches.items(batch.id, 10, None)
        return {item.generation_id for item in page.items}

    assert len(await ids(first) | await ids(second)) == 4
