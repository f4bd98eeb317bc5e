"""Events are written with the change that they tell of: one for each receiver that asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from core.callbacks.callback import Callback, EventType
from core.ids import item_id
from store.batches.transitions import PAUSED_IN_PREFECT
from store.callbacks.deliveries import delivery_of
from store.callbacks.values import Delivery
from store.errors import ConflictError, UnreadableRequestError
from store.generations import rows
from store.generations.acceptance import adopt
from store.store import Store
from store.tables import generations
from store.values import Claim, Waiting
from tests.harness.statements import statements_of
from tests.harness.transactions import open_read, open_write
from tests.store.batch_making import BY_CLIENT, INCOMPLETE, ended_child, started
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
    events,
    one_to_send,
    to_send,
)
from tests.store.making import (
    LEASE,
    OTHER_RUN,
    OUT_OF_MEMORY,
    RUN,
    a_request,
    an_image,
    claimed,
    running,
    taken_over,
)
from tests.store.other_versions import rewritten, stored_as, with_another_field

End = Callable[[Store, Claim], Awaitable[Any]]


async def cancelled_by_the_worker(store: Store, claim: Claim) -> None:
    await store.transitions.request_cancel(claim.generation_id)
    assert await store.transitions.cancelled(claim)


async def given_back_while_cancelling(store: Store, claim: Claim) -> None:
    await store.transitions.request_cancel(claim.generation_id)
    await store.transitions.unclaim(claim)


async def cancelled_while_it_waits(store: Store, claim: Claim) -> None:
    await store.transitions.unclaim(claim)
    await store.transitions.request_cancel(claim.generation_id)


async def settled(store: Store, claim: Claim) -> None:
    assert await store.flow_runs.settle(claim.generation_id, RUN, "failed", OUT_OF_MEMORY)


async def unreadable_when_claimed(store: Store, claim: Claim) -> None:
    await store.transitions.unclaim(claim)
    await rewritten(store, claim.generation_id, with_another_field)
    with pytest.raises(UnreadableRequestError):
        await claimed(store, claim.generation_id)


async def unreadable_while_it_waits(store: Store, claim: Claim) -> None:
    await store.transitions.unclaim(claim)
    await rewritten(store, claim.generation_id, with_another_field)
    assert await store.transitions.fail_unreadable(claim.generation_id, 1)


ENDS: dict[str, tuple[End, str]] = {
    "succeed": (
        lambda store, claim: store.transitions.succeed(claim, [an_image(claim)]),
        "succeeded",
    ),
    "fail": (lambda store, claim: store.transitions.fail(claim, OUT_OF_MEMORY), "failed"),
    "cancelled": (cancelled_by_the_worker, "cancelled"),
    "unclaim": (given_back_while_cancelling, "cancelled"),
    "request_cancel": (cancelled_while_it_waits, "cancelled"),
    "settle": (settled, "failed"),
    "claim": (unreadable_when_claimed, "failed"),
    "fail_unreadable": (unreadable_while_it_waits, "failed"),
}
every_end = pytest.mark.parametrize(("end", "status"), ENDS.values(), ids=ENDS)


# --- generations


@every_end
async def test_each_end_is_one_event(store: Store, end: End, status: str) -> None:
    made = await asked(store)
    claim = await running(store, made.id, flow_run_id=RUN, lease=LEASE)

    await end(store, claim)

    start, ended = await all_deliveries(store)
    now = await store.generations.get(made.id)
    assert (start.event, ended.event) == ("generation.running", f"generation.{status}")
    assert now.finished_at is not None
    assert dict(ended.snapshot) == {
        "status": status,
        "attempt": 1,
        "sequence": now.sequence,
        "error": now.error and now.error.model_dump(mode="json", exclude_none=True),
        "progress": await column(store, made.id, "progress"),
        "flow_run_id": now.flow_run_id and str(now.flow_run_id),
        "started_at": now.started_at and now.started_at.isoformat(),
        "finished_at": now.finished_at.isoformat(),
    }
    assert ended == Delivery(
        number=start.number + 1,
        id=ended.id,
        event=f"generation.{status}",
        generation_id=made.id,
        batch_id=None,
        name=None,
        url=URL,
        host="shop.example",
        snapshot=ended.snapshot,
        body=None,
        state="pending",
        reason=None,
        failures=0,
        tries=(),
        created_at=ended.created_at,
        ended_at=None,
    )
    assert await entries(store) == [(LANE, made.id, start.id), (LANE, made.id, ended.id)]


@every_end
async def test_an_end_that_nobody_asked_for_is_no_event(
    store: Store, end: End, status: str
) -> None:
    """Neither without a callback, nor for one that asks for another end."""
    others = [name for name in ("succeeded", "failed", "cancelled") if name != status]
    elsewhere = Callback(url=URL, events=tuple(event(name) for name in others))
    for callback in (None, elsewhere):
        made = await asked(store, callback)
        await end(store, await running(store, made.id, flow_run_id=RUN, lease=LEASE))

    assert await all_deliveries(store) == []
    assert await entries(store) == []


def event(status: str) -> EventType:
    return f"generation.{status}"  # type: ignore[return-value]


async def column(store: Store, generation_id: Any, name: str) -> Any:
    statement = select(generations.c[name]).where(generations.c.id == generation_id)
    async with open_read(store.database) as connection:
        return (await connection.execute(statement)).scalar_one()


async def test_a_change_that_is_rolled_back_leaves_no_event(store: Store) -> None:
    made = await asked(store)
    claim = await running(store, made.id)

    with pytest.raises(RuntimeError, match="power cut"):
        await write_end(store, claim, cut_short=True)

    assert await events(store) == ["generation.running"]
    assert len(await entries(store)) == 1
    assert (await store.generations.get(made.id)).status == "running"


async def test_an_end_that_comes_too_late_is_no_event(store: Store) -> None:
    made = await asked(store)
    claim = await running(store, made.id, flow_run_id=RUN)
    assert await store.flow_runs.settle(made.id, RUN, "cancelled", None)

    assert not await store.transitions.fail(claim, OUT_OF_MEMORY)
    assert not await store.flow_runs.settle(made.id, RUN, "failed", OUT_OF_MEMORY)
    with pytest.raises(ConflictError):
        await store.transitions.request_cancel(made.id)

    assert await events(store) == ["generation.running", "generation.cancelled"]


async def test_success_that_is_reported_twice_is_one_event(store: Store) -> None:
    claim = await running(store, (await asked(store)).id)
    for _ in range(2):
        await store.transitions.succeed(claim, [an_image(claim)])

    assert await events(store) == ["generation.running", "generation.succeeded"]


async def test_an_attempt_starts_once_however_often_it_is_given_back(store: Store) -> None:
    made = await asked(store)
    await running(store, made.id)
    for number in range(3):
        claim = await taken_over(store, made.id, worker=f"gpu-{number}")
        await store.transitions.start(claim, datetime.now(UTC))
        await store.transitions.start(claim, datetime.now(UTC))

    assert await events(store) == ["generation.running"]


async def test_each_attempt_has_its_own_events(store: Store) -> None:
    made = await asked(store)
    for _ in range(2):
        await store.transitions.fail(await running(store, made.id), OUT_OF_MEMORY)
        await store.transitions.retry(made.id)
    claim = await running(store, made.id)
    await store.transitions.succeed(claim, [])

    assert [(one.event, one.snapshot["attempt"]) for one in await all_deliveries(store)] == [
        ("generation.running", 1),
        ("generation.failed", 1),
        ("generation.running", 2),
        ("generation.failed", 2),
        ("generation.running", 3),
        ("generation.succeeded", 3),
    ]


async def test_prefects_own_retry_has_its_own_events(store: Store) -> None:
    made = await asked(store)
    await store.transitions.fail(await running(store, made.id, flow_run_id=RUN), OUT_OF_MEMORY)
    again = await claimed(store, made.id, flow_run_id=RUN, rerun=True)
    await store.transitions.start(again, datetime.now(UTC))

    assert [one.snapshot["attempt"] for one in await all_deliveries(store)] == [1, 1, 2]


async def test_a_retry_that_cannot_be_read_is_an_end_again(store: Store) -> None:
    made = await asked(store)
    await store.transitions.fail(await running(store, made.id), OUT_OF_MEMORY)
    await rewritten(store, made.id, with_another_field)
    await store.transitions.retry(made.id)

    last = (await all_deliveries(store))[-1]
    assert (last.event, last.snapshot["attempt"]) == ("generation.failed", 2)
    assert last.snapshot["error"]["code"] == "unreadable_document"


async def test_what_began_in_prefect_has_events_too(store: Store) -> None:
    await store.callbacks.add("shop", URL)
    made = await adopt(store.database, UNKNOWN, a_request(), RUN, NAMED)
    claim = await claimed(store, made.id, flow_run_id=RUN)
    await store.transitions.fail(claim, OUT_OF_MEMORY)

    assert made.callback == NAMED
    assert await events(store, generation_id=UNKNOWN) == ["generation.failed"]


async def test_a_callback_of_another_version_is_left_out(store: Store) -> None:
    made = await asked(store)
    await stored_as(store, made.id, callback={"url": URL, "events": ["generation.dreamt"]})
    await store.transitions.fail(await running(store, made.id), OUT_OF_MEMORY)

    assert await events(store) == []
    assert (await store.generations.get(made.id)).callback is None


async def test_ids_are_new_with_each_event(store: Store) -> None:
    made = await asked(store)
    await store.transitions.succeed(await running(store, made.id), [])

    start, end = await all_deliveries(store)

    assert start.id != end.id
    assert start.number < end.number


# --- stored callbacks


async def test_a_stored_callback_is_resolved_when_the_event_is_written(store: Store) -> None:
    await store.callbacks.add("shop", URL)
    made = await asked(store, NAMED)
    claim = await running(store, made.id)
    await store.callbacks.add("shop", OTHER_URL)
    await store.transitions.succeed(claim, [])

    start, end = await all_deliveries(store)

    assert [(one.name, one.url, one.host) for one in (start, end)] == [
        ("shop", None, "shop.example"),
        ("shop", None, "10.0.0.7:8080"),
    ]
    assert [lane for lane, *_ in await entries(store)] == [LANE, OTHER_LANE]


async def test_an_event_for_a_callback_that_is_not_stored_has_failed(store: Store) -> None:
    made = await asked(store, NAMED)
    await store.transitions.succeed(await running(store, made.id), [])

    for one in await all_deliveries(store):
        assert (one.state, one.host) == ("failed", "")
        assert one.reason is not None
        assert "easel webhooks add shop" in one.reason
        assert one.ended_at is not None
    assert await entries(store) == []


@pytest.mark.parametrize(
    ("address", "lane"),
    [
        ("https://shop.example/a", "webhook shop.example:443"),
        ("http://shop.example/a", "webhook shop.example:80"),
        ("http://SHOP.example:8080", "webhook shop.example:8080"),
        ("http://[fd00::1]:9000/b", "webhook fd00::1:9000"),
    ],
)
async def test_each_host_with_its_port_is_a_lane(store: Store, address: str, lane: str) -> None:
    made = await asked(store, Callback(url=address, events=("generation.cancelled",)))
    await store.transitions.request_cancel(made.id)

    [(found, _, _)] = await entries(store)
    assert found == lane


# --- batches and their items


async def test_a_batch_has_its_start_and_its_end(store: Store) -> None:
    batch = await batch_asked(store, EVERY)
    await started(store, batch)
    await started(store, batch, holder=OTHER_RUN)
    assert await store.batch_transitions.finish(batch.id, "failed", INCOMPLETE)
    assert not await store.batch_transitions.finish(batch.id, "succeeded")

    start, end = await all_deliveries(store, batch_id=batch.id)

    assert [start.event, end.event] == ["batch.running", "batch.failed"]
    assert (end.generation_id, end.subject) == (None, batch.id)
    now = await store.batches.get(batch.id)
    assert now.started_at is not None
    assert now.finished_at is not None
    assert dict(end.snapshot) == {
        "status": "failed",
        "run_number": 1,
        "flow_run_id": now.flow_run_id and str(now.flow_run_id),
        "error": INCOMPLETE.model_dump(mode="json", exclude_none=True),
        "started_at": now.started_at.isoformat(),
        "finished_at": now.finished_at.isoformat(),
    }


async def test_a_batch_without_a_callback_has_none(store: Store) -> None:
    batch = await batch_running(store, None)
    await ended_child(store, batch, 0, "succeeded")
    await store.batch_transitions.finish(batch.id, "succeeded")

    assert await all_deliveries(store) == []


async def test_a_batch_that_asks_for_its_ends_only_hears_of_no_item(store: Store) -> None:
    batch = await batch_running(store, Callback(url=URL, events=("batch.succeeded",)))
    await ended_child(store, batch, 0, "succeeded")
    await store.batch_transitions.finish(batch.id, "succeeded")

    assert await events(store) == ["batch.succeeded"]


async def test_a_pause_is_no_new_start(store: Store) -> None:
    batch = await batch_running(store, EVERY, 0)
    for waiting in (BY_CLIENT, Waiting(PAUSED_IN_PREFECT, "Its flow run was paused.")):
        await store.batch_transitions.pause(batch.id, waiting)
        await store.batch_transitions.resume(batch.id, None)
        await store.batch_transitions.pause(batch.id, waiting)
        await started(store, batch)
        await store.batch_transitions.resume(batch.id, None)

    assert await events(store) == ["batch.running"]


async def test_one_that_was_paused_before_it_began_starts_when_it_is_resumed(store: Store) -> None:
    batch = await batch_asked(store, EVERY)
    await store.batch_transitions.pause(batch.id, BY_CLIENT)
    await started(store, batch)
    assert await events(store) == []

    assert (await store.batch_transitions.resume(batch.id, None)).status == "running"

    assert await events(store) == ["batch.running"]


async def test_one_that_is_resumed_to_its_queue_starts_with_its_run(store: Store) -> None:
    batch = await batch_asked(store, EVERY)
    await store.batch_transitions.pause(batch.id, BY_CLIENT)
    await store.batch_transitions.resume(batch.id, None)
    assert await events(store) == []

    await started(store, batch)

    assert await events(store) == ["batch.running"]


async def test_a_batch_whose_run_was_lost_does_not_start_again(store: Store) -> None:
    batch = await batch_running(store, EVERY)
    assert await store.batch_transitions.lose_run(batch.id, 1)
    await started(store, batch, flow_run_id=OTHER_RUN)

    assert await events(store) == ["batch.running"]


@pytest.mark.parametrize("by_prefect", [False, True])
async def test_a_batch_that_is_retried_starts_and_ends_again(
    store: Store, by_prefect: bool
) -> None:
    batch = await batch_running(store, EVERY)
    await ended_child(store, batch, 0, "failed")
    await store.batch_transitions.finish(batch.id, "failed", INCOMPLETE)
    if not by_prefect:
        await store.batch_transitions.retry(batch.id)
    await started(store, batch, rerun=True)
    await store.batch_transitions.finish(batch.id, "succeeded")

    of_batch = [one for one in await events(store) if one.startswith("batch.")]
    assert of_batch == ["batch.running", "batch.failed", "batch.running", "batch.succeeded"]


async def test_an_item_is_told_to_its_own_callback_and_to_its_batchs(store: Store) -> None:
    batch = await batch_running(store, EVERY, 2, of_items=OTHER)
    child = await ended_child(store, batch, 1, "succeeded")

    found = await all_deliveries(store, generation_id=child)

    assert [(one.event, one.url, one.batch_id) for one in found] == [
        ("generation.running", OTHER_URL, batch.id),
        ("generation.running", URL, batch.id),
        ("generation.succeeded", OTHER_URL, batch.id),
        ("generation.succeeded", URL, batch.id),
    ]
    assert await events(store, batch_id=batch.id) == [
        "batch.running",
        *(one.event for one in found),
    ]


async def test_a_receiver_that_is_asked_for_twice_hears_once(store: Store) -> None:
    batch = await batch_running(store, EVERY, of_items=Callback(url=URL, events=EVERY.events[:2]))
    child = await ended_child(store, batch, 0, "failed")
    await store.transitions.retry(child)
    await running(store, child)

    assert await events(store, generation_id=child) == [
        "generation.running",
        "generation.failed",
        "generation.running",
    ]


async def test_items_have_their_callback_from_their_release_on(store: Store) -> None:
    batch = await batch_running(store, None, 2, of_items=EVERY)

    for position in range(2):
        assert (await store.generations.get(item_id(batch.id, position))).callback == EVERY
    assert (await store.batches.get(batch.id)).callback is None


async def test_items_of_a_batch_that_was_removed_have_their_own_only(store: Store) -> None:
    batch = await batch_running(store, EVERY, of_items=OTHER)
    await store.batch_transitions.finish(batch.id, "cancelled")
    await store.batch_transitions.remove(batch.id)
    assert await all_deliveries(store) == []
    assert await entries(store) == []

    child = await ended_child(store, batch, 0, "succeeded")

    assert {one.url for one in await all_deliveries(store, generation_id=child)} == {OTHER_URL}


async def test_the_events_of_items_outlive_their_batch(store: Store) -> None:
    batch = await batch_running(store, EVERY)
    child = await ended_child(store, batch, 0, "succeeded")
    await store.batch_transitions.finish(batch.id, "succeeded")
    await store.batch_transitions.remove(batch.id)

    assert await events(store) == ["generation.running", "generation.succeeded"]
    assert {subject for _, subject, _ in await entries(store)} == {child}


# --- former events


async def test_an_event_lets_former_ones_be_tried_at_once(store: Store) -> None:
    """Only those of its receiver: another one may be the one that is down."""
    failures = Callback(url=URL, events=("generation.failed",))
    ends = Callback(url=OTHER_URL, events=("generation.failed", "generation.succeeded"))
    batch = await batch_running(store, failures, of_items=ends)
    child = await ended_child(store, batch, 0, "failed")
    for lane in (LANE, OTHER_LANE):
        entry = await one_to_send(store, lane)
        assert await store.deliveries.tried(entry, "500", a_try(), "{}")
        assert await store.outbox.postpone(entry, "500", 3600)
    [of_batch, own] = await all_deliveries(store, state="pending")
    assert of_batch.next_try_at is not None
    assert own.next_try_at is not None

    await store.transitions.retry(child)
    claim = await running(store, child)
    await store.transitions.succeed(claim, [])

    assert await to_send(store, LANE) == ()
    former = await one_to_send(store, OTHER_LANE)
    assert (await store.deliveries.get(delivery_of(former))).event == "generation.failed"
    assert await store.deliveries.delivered(former, TAKEN, "{}")
    later = await one_to_send(store, OTHER_LANE)
    assert (await store.deliveries.get(delivery_of(later))).event == "generation.succeeded"


# --- what it costs


@pytest.mark.parametrize("callback", [None, EVERY])
async def test_statements_of_an_end(store: Store, callback: Callback | None) -> None:
    """Without a callback as many as before there were any."""
    made = await asked(store, callback)
    claim = await running(store, made.id)
    task = asyncio.create_task(write_end(store, claim), name="end")
    with statements_of(store.database, "end") as seen:
        await task

    about_rows = [one for one in seen if not one.startswith("BEGIN") and "pg_notify" not in one]
    assert len(about_rows) == (5 if callback is None else 8)


async def write_end(store: Store, claim: Claim, *, cut_short: bool = False) -> None:
    async with open_write(store.database) as connection:
        assert await connection.run_sync(rows.end_held, claim, "succeeded", None)
        if cut_short:
            raise RuntimeError("power cut")


async def test_an_item_reads_the_callback_of_its_batch(store: Store) -> None:
    batch = await batch_running(store, None)
    claim = await running(store, item_id(batch.id, 0))
    task = asyncio.create_task(write_end(store, claim), name="end")
    with statements_of(store.database, "end") as seen:
        await task

    assert len([one for one in seen if "FROM batches" in one]) == 1
    assert [one for one in seen if "deliveries" in one or "outbox" in one] == []
