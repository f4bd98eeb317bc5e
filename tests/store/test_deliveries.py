"""Deliveries: claimed, tried, ended once, shown, sent again by hand, gone with their generation."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from sqlalchemy import update

from core.callbacks.callback import Callback
from store.callbacks.deliveries import REASON_MAX, TRIES_KEPT, delivery_of
from store.callbacks.values import ANSWER_MAX, Delivery, DeliveryFilter, DeliveryState
from store.errors import InvalidCursorError, NotFoundError
from store.store import Store
from store.tables import deliveries
from store.values import Entry
from tests.harness.transactions import open_write
from tests.store.batch_making import ended_child
from tests.store.callback_making import (
    EVERY,
    LANE,
    NAMED,
    OTHER,
    OTHER_LANE,
    OTHER_URL,
    TAKEN,
    UNKNOWN,
    URL,
    a_try,
    all_deliveries,
    asked,
    batch_asked,
    batch_running,
    entries,
    one_to_send,
    to_send,
)
from tests.store.making import (
    OTHER_RUNNER,
    OUT_OF_MEMORY,
    RUNNER,
    claimed,
    running,
)

ENDS = Callback(url=URL, events=("generation.succeeded", "generation.failed"))
DAY = timedelta(days=1)


async def failed_one(store: Store, callback: Callback = ENDS) -> Delivery:
    """The one event of a generation that failed."""
    made = await asked(store, callback)
    assert await store.transitions.fail(await claimed(store, made.id), OUT_OF_MEMORY)
    [one] = await all_deliveries(store, generation_id=made.id)
    return one


async def ended_as(store: Store, state: DeliveryState) -> Delivery:
    """A delivery in that state, with one try; there is no other in its lane."""
    one = await failed_one(store)
    entry = await one_to_send(store)
    match state:
        case "pending":
            assert await store.deliveries.tried(entry, "500", a_try(), "{}")
            assert await store.outbox.postpone(entry, "500", 3600)
        case "delivered":
            assert await store.deliveries.delivered(entry, TAKEN, "{}")
        case "failed":
            assert await store.deliveries.failed(entry, "410", a_try(status=410), "{}")
        case "dropped":
            assert await store.deliveries.drop(entry, "overtaken", a_try())
    return await store.deliveries.get(one.id)


every_state = pytest.mark.parametrize("state", get_args(DeliveryState))


async def moved(store: Store, delivery: Delivery, **values: Any) -> None:
    """Put these values into its row."""
    async with open_write(store.database) as connection:
        await connection.execute(
            update(deliveries).where(deliveries.c.id == delivery.id).values(**values)
        )


# --- tries and ends


async def test_one_that_was_delivered(store: Store) -> None:
    one = await failed_one(store)
    entry = await one_to_send(store)
    assert (delivery_of(entry), entry.subject) == (one.id, one.generation_id)
    assert await store.deliveries.is_wanted(one.id)

    assert await store.deliveries.delivered(entry, TAKEN, '{"type": "généré"}')

    found = await store.deliveries.get(one.id)
    assert (found.state, found.reason, found.tries) == ("delivered", None, (TAKEN,))
    assert (found.body, found.failures) == ('{"type": "généré"}', 0)
    assert found.ended_at is not None
    assert not await store.deliveries.is_wanted(one.id)
    assert await entries(store) == []


async def test_tries_are_kept_with_the_body_and_the_next_moment(store: Store) -> None:
    one = await failed_one(store)
    away = a_try(status=None, error="connection refused")
    for number, tried in enumerate((away, a_try(answer="not now"))):
        entry = await one_to_send(store)
        assert await store.deliveries.tried(entry, f"no. {number}", tried, f"body {number}")
        assert await store.outbox.postpone(entry, "later", 3600 if number else -1)

    found = await store.deliveries.get(one.id)

    assert (found.state, found.failures, found.reason) == ("pending", 2, "no. 1")
    assert [(t.status, t.error, t.answer) for t in found.tries] == [
        (None, "connection refused", None),
        (500, None, "not now"),
    ]
    assert found.body == "body 1"
    assert found.ended_at is None
    assert found.next_try_at is not None
    assert timedelta(minutes=50) < found.next_try_at - datetime.now(UTC) < timedelta(minutes=70)
    assert await all_deliveries(store) == [found]


async def test_a_body_stays_when_the_last_try_had_none(store: Store) -> None:
    await failed_one(store)
    entry = await one_to_send(store)
    assert await store.deliveries.tried(entry, "500", a_try(), "the body")
    assert await store.deliveries.failed(entry, "switched off")

    [found] = await all_deliveries(store)
    assert (found.body, found.state, len(found.tries)) == ("the body", "failed", 1)


async def test_what_a_receiver_answers_is_cut_and_made_readable(store: Store) -> None:
    await failed_one(store)
    entry = await one_to_send(store)
    answer = "a\x00b\ud83ec" + "x" * 10_000
    await store.deliveries.failed(entry, "r\x00" * 5000, a_try(answer=answer, error=answer))

    [found] = await all_deliveries(store)

    [tried] = found.tries
    assert tried.answer is not None
    assert tried.error is not None
    assert found.reason is not None
    assert tried.answer.startswith("a\ufffdb\ufffdcxxx")
    assert tried.error.startswith("a\ufffdb\ufffdcxxx")
    assert len(tried.answer) == ANSWER_MAX
    assert len(tried.error) == len(found.reason) == REASON_MAX
    assert "\x00" not in found.reason


async def test_the_newest_tries_are_kept(store: Store) -> None:
    await failed_one(store)
    entry = await one_to_send(store)
    for number in range(TRIES_KEPT + 3):
        assert await store.deliveries.tried(entry, "500", a_try(milliseconds=number), None)

    [found] = await all_deliveries(store)

    assert [one.milliseconds for one in found.tries] == list(range(3, TRIES_KEPT + 3))
    assert found.failures == TRIES_KEPT + 3


@pytest.mark.parametrize("how", ["delivered", "failed", "drop", "tried"])
async def test_a_runner_that_lost_its_claim_writes_nothing(
    store: Store, second: Store, how: str
) -> None:
    one = await failed_one(store)
    mine = await one_to_send(store)
    await second.outbox.free(RUNNER, next(iter(await second.leases.all())))
    [theirs] = await to_send(second, holder=OTHER_RUNNER)

    assert not await written_by(store, mine, how)

    assert await store.deliveries.get(one.id) == one
    assert await second.deliveries.delivered(theirs, TAKEN, "{}")
    assert not await written_by(store, mine, how)
    assert (await store.deliveries.get(one.id)).state == "delivered"


async def written_by(store: Store, entry: Entry, how: str) -> bool:
    match how:
        case "delivered":
            return await store.deliveries.delivered(entry, TAKEN, "{}")
        case "failed":
            return await store.deliveries.failed(entry, "410", a_try(), "{}")
        case "drop":
            return await store.deliveries.drop(entry, "overtaken")
    return await store.deliveries.tried(entry, "500", a_try(), "{}")


# --- order


async def test_events_of_one_generation_are_claimed_one_at_a_time(store: Store) -> None:
    made = await asked(store)
    await store.transitions.fail(await running(store, made.id), OUT_OF_MEMORY)
    start, end = await all_deliveries(store)

    entry = await one_to_send(store)
    assert delivery_of(entry) == start.id
    assert await to_send(store) == ()
    await store.deliveries.delivered(entry, TAKEN, "{}")
    assert delivery_of(await one_to_send(store)) == end.id


async def test_events_for_two_receivers_do_not_wait_for_each_other(store: Store) -> None:
    ends = Callback(url=URL, events=("generation.succeeded",))
    batch = await batch_running(store, ends, of_items=OTHER)
    child = await ended_child(store, batch, 0, "succeeded")

    of_batch, own = await one_to_send(store), await one_to_send(store, OTHER_LANE)

    assert of_batch.subject == own.subject == child
    for entry in (of_batch, own):
        assert await store.deliveries.delivered(entry, TAKEN, "{}")
    assert (await one_to_send(store, OTHER_LANE)).subject == child


async def test_a_start_is_overtaken_by_a_later_event_of_its_receiver(store: Store) -> None:
    made = await asked(store)
    claim = await running(store, made.id)
    [start] = await all_deliveries(store)
    assert not await store.deliveries.is_overtaken(start)

    await store.transitions.fail(claim, OUT_OF_MEMORY)

    start, end = await all_deliveries(store)
    assert await store.deliveries.is_overtaken(start)
    assert not await store.deliveries.is_overtaken(end)
    assert await store.deliveries.predecessor(end) is None


async def test_an_event_of_another_receiver_overtakes_nothing(store: Store) -> None:
    batch = await batch_running(
        store, Callback(url=URL, events=("generation.failed",)), of_items=OTHER
    )
    child = await ended_child(store, batch, 0, "failed")
    start, own, of_batch = await all_deliveries(store, generation_id=child)
    assert of_batch.url == URL

    assert await store.deliveries.is_overtaken(start)
    assert not await store.deliveries.is_overtaken(own)
    assert await store.deliveries.predecessor(of_batch) is None


async def test_an_end_waits_for_the_end_before_it(store: Store) -> None:
    one = await failed_one(store)
    entry = await one_to_send(store)
    await store.deliveries.tried(entry, "500", a_try(), "{}")
    await store.outbox.postpone(entry, "500", 600)
    assert one.generation_id is not None
    await store.transitions.retry(one.generation_id)
    await store.transitions.succeed(await claimed(store, one.generation_id), [])
    former, later = await all_deliveries(store)

    found = await store.deliveries.predecessor(later)

    assert found is not None
    assert (found.id, found.failures) == (former.id, 1)
    assert await store.deliveries.predecessor(former) is None
    again = await one_to_send(store)
    assert delivery_of(again) == former.id
    assert await store.deliveries.failed(again, "410")
    assert await store.deliveries.predecessor(later) is None


async def test_a_batch_and_its_items_have_each_their_own_order(store: Store) -> None:
    batch = await batch_running(store, EVERY)
    await ended_child(store, batch, 0, "failed")
    await store.batch_transitions.finish(batch.id, "failed")
    start, _, child, end = await all_deliveries(store)
    assert [start.event, child.event, end.event] == [
        "batch.running",
        "generation.failed",
        "batch.failed",
    ]

    assert await store.deliveries.is_overtaken(start)
    assert not await store.deliveries.is_overtaken(child)
    assert await store.deliveries.predecessor(end) is None


async def test_a_stored_callback_is_one_receiver_wherever_it_is(store: Store) -> None:
    await store.callbacks.add("shop", URL)
    one = await failed_one(store, NAMED)
    await store.callbacks.add("shop", OTHER_URL)
    assert one.generation_id is not None
    await store.transitions.retry(one.generation_id)
    await store.transitions.succeed(await claimed(store, one.generation_id), [])

    former, later = await all_deliveries(store)

    assert await store.deliveries.predecessor(later) == former
    for delivery in (former, later):
        assert (await store.callbacks.target(delivery)).url == OTHER_URL


# --- sent again


@every_state
async def test_sent_again(store: Store, state: DeliveryState) -> None:
    before = await ended_as(store, state)

    again = await store.deliveries.redeliver(before.id)

    assert again == await store.deliveries.get(before.id)
    assert (again.state, again.failures, again.reason) == ("pending", 0, None)
    assert (again.ended_at, again.next_try_at) == (None, None)
    assert (again.tries, again.body) == (before.tries, before.body)
    assert again.by_hand is (state != "pending")
    entry = await one_to_send(store)
    assert delivery_of(entry) == before.id
    assert await store.deliveries.delivered(entry, TAKEN, "{}")
    assert (await store.deliveries.get(before.id)).tries == (*before.tries, TAKEN)


async def test_what_is_being_sent_is_left_alone(store: Store) -> None:
    one = await failed_one(store)
    entry = await one_to_send(store)
    await store.deliveries.tried(entry, "500", a_try(), "{}")
    before = await store.deliveries.get(one.id)

    assert await store.deliveries.redeliver(one.id) == before

    assert await to_send(store) == ()
    assert len(await entries(store)) == 1
    assert await store.deliveries.delivered(entry, TAKEN, "{}")


async def test_twice_sent_again_is_sent_once(store: Store) -> None:
    before = await ended_as(store, "delivered")
    await asyncio.gather(*(store.deliveries.redeliver(before.id) for _ in range(5)))

    assert len(await entries(store)) == 1


async def test_what_an_operator_sends_again_has_no_turn(store: Store) -> None:
    """It is neither overtaken, nor waits, nor is waited for."""
    made = await asked(store)
    claim = await running(store, made.id)
    start = await one_to_send(store)
    await store.deliveries.drop(start, "overtaken")
    await store.transitions.fail(claim, OUT_OF_MEMORY)
    await store.deliveries.delivered(await one_to_send(store), TAKEN, "{}")
    start_id, end_id = [one.id for one in await all_deliveries(store)]
    await store.transitions.retry(made.id)
    await store.transitions.fail(await claimed(store, made.id), OUT_OF_MEMORY)
    [later] = await all_deliveries(store, state="pending")

    again = [await store.deliveries.redeliver(one) for one in (start_id, end_id)]

    for one in again:
        assert not await store.deliveries.is_overtaken(one)
        assert await store.deliveries.predecessor(one) is None
    assert await store.deliveries.predecessor(later) is None


async def test_sent_again_to_where_the_callback_is_now(store: Store) -> None:
    one = await failed_one(store, NAMED)
    assert one.state == "failed"
    still = await store.deliveries.redeliver(one.id)
    assert (still.state, still.reason) == ("failed", one.reason)
    assert await entries(store) == []

    await store.callbacks.add("shop", OTHER_URL)
    again = await store.deliveries.redeliver(one.id)

    assert (again.state, again.host) == ("pending", "10.0.0.7:8080")
    assert [lane for lane, *_ in await entries(store)] == [OTHER_LANE]


async def test_what_is_not_there_cannot_be_sent_again(store: Store) -> None:
    for reading in (store.deliveries.redeliver, store.deliveries.get):
        with pytest.raises(NotFoundError, match="no delivery"):
            await reading(UNKNOWN)
    assert not await store.deliveries.is_wanted(UNKNOWN)


# --- deleted


@pytest.mark.parametrize("is_claimed", [False, True])
async def test_a_deleted_generation_delivers_nothing_more(store: Store, is_claimed: bool) -> None:
    made, kept = await asked(store), await failed_one(store)
    await store.transitions.fail(await running(store, made.id), OUT_OF_MEMORY)
    claimed_ones = await to_send(store) if is_claimed else ()

    await store.transitions.delete(made.id)

    assert await all_deliveries(store) == [kept]
    assert [subject for _, subject, _ in await entries(store)] == [kept.generation_id]
    for entry in claimed_ones:
        if entry.subject == made.id:
            for how in ("tried", "drop", "failed", "delivered"):
                assert not await written_by(store, entry, how)
            assert not await store.outbox.postpone(entry, "500", 5)
            assert not await store.deliveries.is_wanted(delivery_of(entry))
    assert await all_deliveries(store) == [kept]


async def test_a_delete_of_one_that_runs_is_no_event(store: Store) -> None:
    made = await asked(store)
    claim = await running(store, made.id)
    await store.transitions.delete(made.id)
    await store.transitions.cancelled(claim)

    assert await all_deliveries(store) == []
    assert (await store.deliveries.counts())["pending"] == 0


async def test_deletes_race_with_deliveries(store: Store, second: Store) -> None:
    """Each ends one way or the other; what is deleted leaves nothing, and no write deadlocks."""
    made = [await asked(store) for _ in range(24)]
    claims = [await running(store, one.id) for one in made]
    await store.leases.take("one", RUNNER, 600)
    await store.leases.take("two", OTHER_RUNNER, 600)
    ending = asyncio.Event()

    async def run(mine: Store, holder: Any) -> None:
        while not ending.is_set() or await mine.outbox.lanes(["webhook"]):
            for entry in await mine.outbox.claim(LANE, ["webhook"], holder, 4):
                if entry.tries < 1:
                    await mine.deliveries.tried(entry, "500", a_try(), "{}")
                    await mine.outbox.postpone(entry, "500", -1)
                else:
                    await mine.deliveries.delivered(entry, TAKEN, "{}")
            await asyncio.sleep(0)

    async def end_and_delete() -> None:
        async def one_of(number: int) -> None:
            await store.transitions.fail(claims[number], OUT_OF_MEMORY)
            if number % 2:
                await second.transitions.delete(made[number].id)
            else:
                first = (await all_deliveries(second, generation_id=made[number].id))[0]
                await second.deliveries.redeliver(first.id)

        await asyncio.gather(*(one_of(number) for number in range(len(made))))
        ending.set()

    async with asyncio.timeout(120):
        await asyncio.gather(run(store, RUNNER), run(second, OTHER_RUNNER), end_and_delete())

    found = await all_deliveries(store)
    assert {one.state for one in found} == {"delivered"}
    assert {one.generation_id for one in found} == {one.id for one in made[::2]}
    assert len(found) == 24
    assert await entries(store) == []


# --- shown


async def test_pages_lead_on_and_back(store: Store) -> None:
    for _ in range(5):
        await failed_one(store)
    newest_first = list(reversed(await all_deliveries(store)))

    first = await store.deliveries.page(DeliveryFilter(), 2, None)
    second = await store.deliveries.page(DeliveryFilter(), 2, first.next_cursor)
    third = await store.deliveries.page(DeliveryFilter(), 2, second.next_cursor)
    back = await store.deliveries.page(DeliveryFilter(), 2, third.previous_cursor)

    assert [*first.items, *second.items, *third.items] == newest_first
    assert (first.previous_cursor, third.next_cursor) == (None, None)
    assert back.items == second.items
    with pytest.raises(InvalidCursorError):
        await store.deliveries.page(DeliveryFilter(), 2, "nonsense")


async def test_pages_are_filtered(store: Store) -> None:
    batch = await batch_running(store, EVERY, 2)
    first = await ended_child(store, batch, 0, "failed")
    await ended_child(store, batch, 1, "succeeded")
    alone = await failed_one(store)
    entry = next(one for one in await to_send(store) if delivery_of(one) == alone.id)
    await store.deliveries.delivered(entry, TAKEN, "{}")

    everything = await all_deliveries(store)

    async def shown(**wanted: Any) -> set[int]:
        return {one.number for one in await all_deliveries(store, **wanted)}

    assert len(everything) == 6
    assert await shown(batch_id=batch.id) == {one.number for one in everything[:5]}
    assert await shown(generation_id=first) == {
        one.number for one in everything if one.generation_id == first
    }
    assert await shown(state="delivered") == {alone.number}
    assert await shown(state="delivered", batch_id=batch.id) == set()
    assert await shown(generation_id=first, batch_id=batch.id, state="pending") == await shown(
        generation_id=first
    )
    assert await shown(batch_id=UNKNOWN) == set()
    assert await store.deliveries.counts() == {
        "pending": 5,
        "delivered": 1,
        "failed": 0,
        "dropped": 0,
    }


# --- retention


@every_state
async def test_what_ended_long_ago_is_removed(store: Store, state: DeliveryState) -> None:
    one = await ended_as(store, state)
    newer = await failed_one(store, NAMED)
    assert newer.state == "failed"
    if state != "pending":
        await moved(store, one, ended_at=datetime.now(UTC) - 31 * DAY)
    await moved(store, one, created_at=datetime.now(UTC) - 31 * DAY)

    removed = await store.deliveries.sweep(datetime.now(UTC) - 30 * DAY)

    assert removed == (0 if state == "pending" else 1)
    left = {found.id for found in await all_deliveries(store)}
    assert left == ({one.id, newer.id} if state == "pending" else {newer.id})


async def test_many_are_removed_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.callbacks.deliveries._PAGE", 2)
    for _ in range(5):
        await failed_one(store, NAMED)

    assert await store.deliveries.sweep(datetime.now(UTC) + DAY) == 5
    assert await all_deliveries(store) == []


async def test_a_batch_that_is_shown_has_its_deliveries(store: Store) -> None:
    batch = await batch_asked(store, NAMED)
    await store.batch_transitions.finish(batch.id, "cancelled")

    [one] = await all_deliveries(store, batch_id=batch.id)
    assert (one.event, one.state, one.is_start) == ("batch.cancelled", "failed", False)
