"""What happens to a batch: accepted as a whole, released in turn, paused, cancelled, retried."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from sqlalchemy import Table, func, select, update

from core.batches import BatchOptions
from core.ids import item_id, prompt_id
from core.manifest import RowProblem
from core.status import BATCH_ACTIVE, BatchStatus, Status
from store.acceptance import IdempotencyKey
from store.batch_transitions import ACCEPTED_WITHIN, PAUSED_IN_PREFECT, SKIPPED_KEPT
from store.errors import ConflictError, NotFoundError
from store.store import Store
from store.tables import batch_items, batches, dispatches, generations
from store.values import Batch, Waiting
from tests.store.batch_making import (
    BY_CLIENT,
    DEPLOYMENT,
    INCOMPLETE,
    SEED,
    accepted_batch,
    batch_in,
    begun,
    being_accepted,
    children,
    ended_badly,
    ended_child,
    new_items,
    running_batch,
    started,
)
from tests.store.making import (
    LEASE,
    NEVER,
    OTHER_LEASE,
    OTHER_RUN,
    RUN,
    a_request,
    dispatched,
    running,
)

STATUSES: tuple[BatchStatus, ...] = get_args(BatchStatus)
ENDED = [status for status in STATUSES if status not in BATCH_ACTIVE]
PREFECT_PAUSED = Waiting(PAUSED_IN_PREFECT, "Its flow run was paused.")
KEY = IdempotencyKey("order-42", "a" * 64)
LATER = datetime(2030, 1, 1, 7, 0, tzinfo=UTC)


async def rows_of(store: Store, table: Table) -> int:
    async with store.database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def marked(store: Store, batch: Batch) -> list[int]:
    """Positions of the items that are to have another attempt."""
    page = await store.batches.items(batch.id, 100, None)
    return [item.position for item in page.items if item.again]


# --- acceptance


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
    assert await rows_of(store, generations) == await rows_of(store, dispatches) == 0


async def test_what_was_left_out_is_kept_up_to_a_bound(store: Store) -> None:
    batch_id = await being_accepted(store, new_items(1))
    left_out = [RowProblem(row, "steps", "int_type", "no") for row in range(SKIPPED_KEPT + 5)]

    await store.batch_transitions.accept(batch_id, 1, 1.0, left_out)

    assert await store.batches.skipped(batch_id) == tuple(left_out[:SKIPPED_KEPT])


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

    async with store.database.write() as connection:
        long_ago = datetime.now(UTC) - ACCEPTED_WITHIN - timedelta(seconds=1)
        await connection.execute(update(batches).values(created_at=long_ago))
    made = await accepted_batch(store, 1, key=KEY)

    assert await rows_of(store, batch_items) == 1
    with pytest.raises(NotFoundError):
        await store.batch_transitions.accept(half, 2, 1.0)
    with pytest.raises(ConflictError):
        await accepted_batch(store, 1, key=KEY)
    assert await store.batches.active() == (made,)


# --- start


async def test_a_run_that_starts_makes_it_running(store: Store) -> None:
    batch = await started(store, await accepted_batch(store), window_ends_at=LATER)

    assert batch == await store.batches.get(batch.id)
    assert batch.status == "running"
    assert (batch.flow_run_id, batch.deployment_id, batch.holder) == (RUN, DEPLOYMENT, LEASE)
    assert batch.window_ends_at == LATER
    assert batch.started_at is not None
    assert await store.batches.of_run(RUN) == batch
    assert await store.batches.of_run(OTHER_RUN) is None


async def test_a_run_that_starts_once_more_takes_over(store: Store) -> None:
    """Its worker died: another one goes on where it stopped."""
    before = await started(store, await accepted_batch(store), window_ends_at=LATER)
    await store.batch_transitions.release(before.id, 2)

    after = await started(
        store, before, holder=OTHER_LEASE, window_ends_at=LATER + timedelta(days=1), rerun=True
    )

    assert (after.status, after.holder, after.released) == ("running", OTHER_LEASE, 2)
    assert (after.started_at, after.window_ends_at) == (before.started_at, LATER)


async def test_another_run_is_refused(store: Store) -> None:
    batch = await started(store, await accepted_batch(store))

    with pytest.raises(ConflictError):
        await started(store, batch, flow_run_id=OTHER_RUN, holder=OTHER_LEASE, rerun=True)

    assert await store.batches.get(batch.id) == batch


async def test_a_paused_batch_stays_paused_when_its_run_starts(store: Store) -> None:
    batch = await accepted_batch(store)
    await store.batch_transitions.pause(batch.id, BY_CLIENT)

    now = await started(store, batch)

    assert (now.status, now.waiting, now.holder) == ("paused", BY_CLIENT, LEASE)
    assert (await store.batch_transitions.resume(batch.id, None)).status == "running"


async def test_what_was_paused_in_prefect_goes_on_when_its_run_does(store: Store) -> None:
    batch = await running_batch(store)
    await store.batch_transitions.pause(batch.id, PREFECT_PAUSED)

    now = await started(store, batch)

    assert (now.status, now.waiting) == ("running", None)


@pytest.mark.parametrize("status", [*ENDED, "cancelling"])
async def test_what_has_ended_is_not_started(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    with pytest.raises(ConflictError):
        await started(store, batch)

    assert await store.batches.get(batch.id) == batch


@pytest.mark.parametrize("status", ["succeeded", "cancelling"])
async def test_a_rerun_is_no_retry_of_what_needs_none(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    with pytest.raises(ConflictError):
        await started(store, batch, rerun=True)

    assert await store.batches.get(batch.id) == batch


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_prefects_own_retry_makes_what_failed_again(
    store: Store, status: BatchStatus
) -> None:
    ended = await ended_badly(store, "succeeded", "failed", "cancelled", total=4, to=status)

    now = await started(store, ended, holder=OTHER_LEASE, window_ends_at=LATER, rerun=True)

    assert (now.status, now.to_retry, now.error, now.finished_at) == ("running", 2, None, None)
    assert (now.run_number, now.flow_run_id, now.holder) == (1, RUN, OTHER_LEASE)
    assert now.window_ends_at == LATER
    assert await marked(store, ended) == [1, 2]


async def test_what_never_was_is_not_started(store: Store) -> None:
    with pytest.raises(NotFoundError):
        await store.batch_transitions.start(
            NEVER, flow_run_id=RUN, deployment_id=None, holder=LEASE, window_ends_at=None
        )


# --- release


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
    assert await rows_of(store, dispatches) == 25
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
    [dispatch] = await store.outbox.due(10)
    assert (dispatch.generation_id, dispatch.priority) == (made.id, "bulk")
    with pytest.raises(NotFoundError):
        await store.generations.get(item_id(batch.id, 1))


async def test_the_request_leaves_the_item_when_it_is_released(store: Store) -> None:
    await running_batch(store, 3, turns=[0, 2, 1], released=2)

    async with store.database.read() as connection:
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


# --- its flow run


async def test_the_flow_run_is_remembered_once(store: Store) -> None:
    batch = await accepted_batch(store)
    record = store.batch_transitions.record_flow_run

    await record(batch.id, 1, RUN, DEPLOYMENT)
    await record(batch.id, 1, OTHER_RUN, None)

    now = await store.batches.get(batch.id)
    assert (now.flow_run_id, now.deployment_id) == (RUN, DEPLOYMENT)


async def test_an_older_flow_run_is_not_remembered(store: Store) -> None:
    ended = await batch_in(store, "failed")
    again = await store.batch_transitions.retry(ended.id)

    await store.batch_transitions.record_flow_run(ended.id, ended.run_number, RUN, DEPLOYMENT)

    assert await store.batches.get(ended.id) == again


async def test_a_run_that_prefect_lost_is_made_once_more(store: Store) -> None:
    batch = await running_batch(store, released=1)

    assert await store.batch_transitions.lose_run(batch.id, batch.run_number)

    now = await store.batches.get(batch.id)
    assert (now.flow_run_id, now.holder, now.status) == (None, None, "running")
    assert (await started(store, batch, flow_run_id=OTHER_RUN)).flow_run_id == OTHER_RUN


@pytest.mark.parametrize("status", ENDED)
async def test_the_run_of_what_has_ended_is_not_lost(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    assert not await store.batch_transitions.lose_run(batch.id, batch.run_number)

    assert await store.batches.get(batch.id) == batch


async def test_an_older_run_cannot_be_lost(store: Store) -> None:
    ended = await batch_in(store, "failed")
    await store.batch_transitions.retry(ended.id)
    now = await started(store, ended, flow_run_id=OTHER_RUN)

    assert not await store.batch_transitions.lose_run(ended.id, ended.run_number)

    assert await store.batches.get(ended.id) == now


async def test_only_its_holder_is_let_go(store: Store) -> None:
    batch = await running_batch(store)

    assert not await store.batch_transitions.let_go(batch.id, OTHER_LEASE)
    assert not await store.batch_transitions.let_go(batch.id, None)
    assert (await store.batches.get(batch.id)).holder == LEASE

    assert await store.batch_transitions.let_go(batch.id, LEASE)
    assert (await store.batches.get(batch.id)).holder is None


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


# --- retry


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
    """Else the cancelled statement would keep SQLite's write lock for ever."""
    batch = await running_batch(store, 3)
    releasing = asyncio.create_task(store.batch_transitions.release(batch.id, 2))
    await asyncio.sleep(0)
    releasing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await releasing

    assert len(await children(store, batch)) == 2
    assert await store.batch_transitions.release(batch.id, 10) == 1
