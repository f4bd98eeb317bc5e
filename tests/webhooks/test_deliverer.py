"""The deliverer: each event arrives, in order, by its schedule, or can be shown not to have."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

import pytest
from prometheus_client import REGISTRY

from core.callbacks.addresses import Address
from core.callbacks.url import Receiver
from store.callbacks.values import Delivery
from store.store import Store
from tests.harness.receiver import CallbackReceiver, answers, never_answers, redirects, resets
from tests.harness.waiting import wait_until
from tests.webhooks.delivering import (
    SCHEDULE,
    Clock,
    again,
    begun,
    called,
    deliverer,
    deliveries_of,
    end,
    ended,
    the_delivery,
    to,
    until,
    until_ended,
    until_tried,
)
from tests.webhooks.senders import LOOPBACK, Names, Wires, guard, sender
from webhooks.connecting import connect_to
from webhooks.deliverer import TOGETHER

HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0


async def secret_of(store: Store) -> str:
    return (await store.secrets.valid())[0]


def waits_s(delivery: Delivery, clock: Clock) -> float:
    """How long a delivery waits for its next try, to the nearest ten seconds."""
    assert delivery.next_try_at is not None
    return round((delivery.next_try_at - clock()).total_seconds(), -1)


async def test_an_event_arrives_signed(store: Store, clock: Clock) -> None:
    with CallbackReceiver(answers(202, body=b"thanks")) as receiver:
        async with deliverer(store, clock) as its:
            generation_id = await ended(store, to(receiver))
            its.wake()
            await until_ended(store)
        [event] = receiver.verified(await secret_of(store))

    delivery = await the_delivery(store, generation_id)
    assert event["type"] == "generation.succeeded"
    assert receiver.requests[0].webhook_id == str(delivery.id)
    assert (delivery.state, delivery.reason, delivery.failures) == ("delivered", None, 0)
    [one] = delivery.tries
    assert (one.status, one.answer, one.error) == (202, "thanks", None)
    assert await store.outbox.count(["webhook"]) == 0


async def test_while_the_secret_is_rotated_receivers_with_either_are_served(
    store: Store, clock: Clock
) -> None:
    old = await secret_of(store)
    with CallbackReceiver() as receiver:
        async with deliverer(store, clock):
            new = await store.secrets.rotate()
            await ended(store, to(receiver))
            await until_ended(store)
            assert len(receiver.verified(old)) == len(receiver.verified(new)) == 1


@pytest.mark.parametrize(
    "failure",
    [answers(500), answers(404), resets, redirects("http://127.0.0.1:1/")],
    ids=["500", "404", "reset", "redirect"],
)
async def test_a_failed_try_is_repeated_with_the_same_bytes_and_id(
    store: Store, clock: Clock, failure: object
) -> None:
    with CallbackReceiver(failure, answers(200)) as receiver:  # type: ignore[arg-type]
        async with deliverer(store, clock):
            generation_id = await ended(store, to(receiver))
            delivery = await until_tried(store, generation_id, 1)
            assert (delivery.state, delivery.failures) == ("pending", 1)
            assert delivery.reason
            clock.forward(SCHEDULE[0])
            await until_ended(store)
        first, second = receiver.requests
        receiver.verified(await secret_of(store))

    assert (await the_delivery(store, generation_id)).state == "delivered"
    assert first.webhook_id == second.webhook_id
    assert first.body == second.body


async def test_the_tries_follow_the_schedule_until_it_is_exhausted(
    store: Store, clock: Clock
) -> None:
    with CallbackReceiver(answers(500)) as receiver:
        async with deliverer(store, clock, schedule=(100, 300, 1800)):
            generation_id = await ended(store, to(receiver))
            for tries, delay_s in enumerate((100, 300, 1800), start=1):
                delivery = await until_tried(store, generation_id, tries)
                assert (len(delivery.tries), delivery.failures) == (tries, tries)
                assert waits_s(delivery, clock) == delay_s
                clock.forward(delay_s)
            await until_ended(store)

    delivery = await the_delivery(store, generation_id)
    assert (delivery.state, len(delivery.tries)) == ("failed", 4)
    assert delivery.reason == "given up after 4 tries: answered 500"
    assert len({request.webhook_id for request in receiver.requests}) == 1


@pytest.mark.parametrize(
    ("said", "expected_s"),
    [
        ("600", 600),
        ("1", 100),  # never sooner than the schedule
        ("999999", DAY_S),
        ("date", 3600),
        ("nonsense", 100),
    ],
)
async def test_a_receiver_can_put_its_next_try_off(
    store: Store, clock: Clock, said: str, expected_s: float
) -> None:
    if said == "date":
        said = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with CallbackReceiver(answers(503, {"Retry-After": said})) as receiver:
        async with deliverer(store, clock, schedule=(100,)):
            generation_id = await ended(store, to(receiver))
            delivery = await until_tried(store, generation_id, 1)

    assert waits_s(delivery, clock) == pytest.approx(expected_s, abs=20)


async def test_a_receiver_that_was_down_for_an_hour_gets_what_it_missed(
    store: Store, clock: Clock
) -> None:
    with CallbackReceiver() as receiver:
        receiver.down()
        async with deliverer(store, clock, schedule=(5, 300, 1800, 7200)):
            ids = [await ended(store, to(receiver)) for _ in range(3)]
            for tries, delay_s in enumerate((5, 300, 1800), start=1):
                for generation_id in ids:
                    await until_tried(store, generation_id, tries)
                clock.forward(delay_s)
            for generation_id in ids:
                await until_tried(store, generation_id, 4)
            receiver.up()
            clock.forward(7200)
            await until_ended(store)
        receiver.verified(await secret_of(store))  # signed by the true time, hours before the clock

    states = [await the_delivery(store, generation_id) for generation_id in ids]
    assert {(one.state, len(one.tries)) for one in states} == {("delivered", 5)}
    assert Counter(one.webhook_id for one in receiver.requests) == {
        str(one.id): 1 for one in states
    }


async def test_a_receiver_that_is_gone_is_switched_off_and_on_again(
    store: Store, clock: Clock
) -> None:
    with CallbackReceiver(answers(410), answers(200)) as receiver:
        async with deliverer(store, clock):
            first = await ended(store, to(receiver))
            await until_ended(store)
            second = await ended(store, to(receiver))
            await until_ended(store)
            assert len(receiver.requests) == 1  # the second one was not sent
            [off] = await store.callbacks.all()
            assert (off.name, off.url, off.off_at is None) == (None, receiver.url, False)

            await store.callbacks.enable(receiver.url)
            await store.deliveries.redeliver((await the_delivery(store, second)).id)
            await until_ended(store)

    assert (await the_delivery(store, second)).state == "delivered"
    gone = await the_delivery(store, first)
    assert (gone.state, len(gone.tries)) == ("failed", 1)
    assert "easel webhooks enable URL" in (gone.reason or "")
    assert receiver.url not in (gone.reason or "")


async def test_a_stored_callback_is_reached_at_its_present_url(store: Store, clock: Clock) -> None:
    with CallbackReceiver(answers(500)) as former, CallbackReceiver() as present:
        await store.callbacks.add("shop", former.url)
        async with deliverer(store, clock):
            generation_id = await ended(store, called("shop"))
            await until_tried(store, generation_id, 1)
            await store.callbacks.add("shop", present.url)
            clock.forward(SCHEDULE[0])
            await until_ended(store)

    assert (len(former.requests), len(present.requests)) == (1, 1)


async def test_events_for_a_removed_callback_fail(store: Store, clock: Clock) -> None:
    with CallbackReceiver(answers(500)) as receiver:
        await store.callbacks.add("shop", receiver.url)
        async with deliverer(store, clock):
            generation_id = await ended(store, called("shop"))
            await until_tried(store, generation_id, 1)
            await store.callbacks.remove("shop")
            clock.forward(SCHEDULE[0])
            await until_ended(store)

    delivery = await the_delivery(store, generation_id)
    assert (delivery.state, len(delivery.tries)) == ("failed", 1)
    assert "easel webhooks add shop URL" in (delivery.reason or "")


async def test_an_address_inside_is_refused_at_the_try_and_the_reason_says_what_to_do(
    store: Store, clock: Clock
) -> None:
    with CallbackReceiver() as receiver:
        async with deliverer(store, clock, its_sender=sender(guard())):
            generation_id = await ended(store, to(receiver))
            delivery = await until_tried(store, generation_id, 1)

    assert delivery.state == "pending"
    assert "EASEL_WEBHOOKS__ALLOW" in (delivery.reason or "")
    assert receiver.connections == 0


async def test_a_name_that_is_bound_anew_between_tries_is_refused(
    store: Store, clock: Clock
) -> None:
    names = Names({"shop.example": [["93.184.215.14"], ["127.0.0.1"]]})
    with CallbackReceiver(answers(500)) as receiver:
        wires = Wires(receiver.port)
        its_sender = sender(guard(names=names), connect=wires)
        async with deliverer(store, clock, its_sender=its_sender):
            generation_id = await ended(store, to(f"http://shop.example:{receiver.port}/"))
            await until_tried(store, generation_id, 1)
            clock.forward(SCHEDULE[0])
            delivery = await until_tried(store, generation_id, 2)

    assert [one.status for one in delivery.tries] == [500, None]
    assert "shop.example (127.0.0.1)" in (delivery.reason or "")
    assert wires.dialled == [("93.184.215.14", receiver.port)]


# --- what is not sent


async def test_nothing_is_sent_after_a_delete(store: Store, clock: Clock) -> None:
    with CallbackReceiver(answers(500)) as receiver:
        async with deliverer(store, clock):
            generation_id = await ended(store, to(receiver))
            await until_tried(store, generation_id, 1)
            await store.transitions.delete(generation_id)
            clock.forward(DAY_S)
            other = await ended(store, to(receiver))
            await until_tried(store, other, 1)

    assert len(receiver.requests) == 2  # one of each
    assert await deliveries_of(store, generation_id) == []


async def test_a_delete_while_the_connection_is_made_holds_the_event_back(
    store: Store, clock: Clock
) -> None:
    connecting, may_connect = asyncio.Event(), asyncio.Event()

    async def slow(address: Address, port: int) -> object:
        connecting.set()
        await may_connect.wait()
        return await connect_to(address, port)

    with CallbackReceiver() as receiver:
        its_sender = sender(guard(LOOPBACK), connect=slow)  # type: ignore[arg-type]
        async with deliverer(store, clock, its_sender=its_sender) as its:
            generation_id = await ended(store, to(receiver))
            its.wake()
            async with asyncio.timeout(60):
                await connecting.wait()
            await store.transitions.delete(generation_id)
            may_connect.set()
            other = await ended(store, to(receiver))
            await until_ended(store)

    assert [one.webhook_id for one in receiver.requests] == [
        str((await the_delivery(store, other)).id)
    ]


async def test_an_event_of_which_nothing_is_left_is_dropped(store: Store, clock: Clock) -> None:
    async def nothing(_: Delivery) -> bytes | None:
        return None

    with CallbackReceiver() as receiver:
        async with deliverer(store, clock, render=nothing):
            generation_id = await ended(store, to(receiver))
            await until_ended(store)

    assert (await the_delivery(store, generation_id)).state == "dropped"
    assert receiver.connections == 0


async def test_an_error_of_our_own_is_a_failed_try_and_ends(store: Store, clock: Clock) -> None:
    async def broken(_: Delivery) -> bytes | None:
        raise ZeroDivisionError("a fault in the rendering")

    with CallbackReceiver() as receiver:
        async with deliverer(store, clock, render=broken, schedule=(0,)):
            generation_id = await ended(store, to(receiver))
            await until_ended(store)

    found = await the_delivery(store, generation_id)
    assert found.state == "failed"
    assert [one.error for one in found.tries] == ["an error of Easel: see its log"] * 2
    assert receiver.connections == 0


# --- order


async def test_a_start_that_the_end_has_overtaken_is_not_sent(store: Store, clock: Clock) -> None:
    with CallbackReceiver() as receiver:
        both = to(receiver, "generation.running", "generation.succeeded")
        generation_id = await ended(store, both)
        async with deliverer(store, clock):
            await until_ended(store)
        [event] = receiver.verified(await secret_of(store))

    assert event["type"] == "generation.succeeded"
    start, its_end = await deliveries_of(store, generation_id)
    assert (start.state, start.tries, its_end.state) == ("dropped", (), "delivered")


async def test_a_start_that_failed_is_never_waited_for(store: Store, clock: Clock) -> None:
    with CallbackReceiver(answers(500), answers(200)) as receiver:
        both = to(receiver, "generation.running", "generation.succeeded")
        async with deliverer(store, clock):
            generation_id = await begun(store, both)
            await until_tried(store, generation_id, 1)
            await end(store, generation_id)
            await until_ended(store)

    start, its_end = await deliveries_of(store, generation_id)
    assert (start.state, len(start.tries), its_end.state) == ("dropped", 1, "delivered")


async def test_a_start_whose_end_comes_during_its_try_is_dropped_if_the_try_fails(
    store: Store, clock: Clock
) -> None:
    with CallbackReceiver(answers(500), answers(200)) as receiver:
        receiver.pause()
        both = to(receiver, "generation.running", "generation.succeeded")
        async with deliverer(store, clock, schedule=(HOUR_S,)):
            generation_id = await begun(store, both)
            await receiver.received(1)
            await end(store, generation_id)
            receiver.resume()
            await until_ended(store)

    start, its_end = await deliveries_of(store, generation_id)
    assert (start.state, len(start.tries), its_end.state) == ("dropped", 1, "delivered")


async def test_a_start_is_sent_before_its_end(store: Store, clock: Clock) -> None:
    with CallbackReceiver() as receiver:
        both = to(receiver, "generation.running", "generation.succeeded")
        async with deliverer(store, clock):
            generation_id = await begun(store, both)
            await until_ended(store)
            await end(store, generation_id)
            await until_ended(store)
        events = receiver.verified(await secret_of(store))

    assert [one["type"] for one in events] == ["generation.running", "generation.succeeded"]


async def test_the_ends_of_two_attempts_come_in_order(store: Store, clock: Clock) -> None:
    with CallbackReceiver(answers(500), answers(500), answers(200)) as receiver:
        async with deliverer(store, clock):
            generation_id = await ended(store, to(receiver), "failed")
            await until_tried(store, generation_id, 1)
            await again(store, generation_id)
            await end(store, generation_id)  # lets the first one be tried at once, in vain

            async def second_waits() -> bool:
                first, second = await deliveries_of(store, generation_id)
                return len(first.tries) == 2 and second.next_try_at is not None

            await until(second_waits, lambda: deliveries_of(store, generation_id))
            assert len(receiver.requests) == 2
            clock.forward(SCHEDULE[1])
            await until_ended(store)
        events = receiver.verified(await secret_of(store))

    assert [one["type"] for one in events] == [
        *["generation.failed"] * 3,
        "generation.succeeded",
    ]
    first, second = await deliveries_of(store, generation_id)
    assert (first.state, second.state) == ("delivered", "delivered")
    assert (first.failures, second.failures) == (2, 0)  # to wait is no failure


# --- one receiver and the others


async def test_a_dead_receiver_delays_no_other(store: Store, clock: Clock) -> None:
    with CallbackReceiver(never_answers) as dead:
        quick = [CallbackReceiver().__enter__() for _ in range(9)]
        try:
            for _ in range(2 * TOGETHER):
                await ended(store, to(dead))
            for receiver in quick:
                for _ in range(3):
                    await ended(store, to(receiver))
            async with deliverer(store, clock):
                for receiver in quick:
                    await receiver.received(3)

                async def only_the_dead_one_is_left() -> bool:
                    return (await store.deliveries.counts())["pending"] == 2 * TOGETHER

                await until(only_the_dead_one_is_left, store.deliveries.counts)
                assert dead.connections <= TOGETHER
        finally:
            for receiver in quick:
                receiver.__exit__()

    assert (await store.deliveries.counts())["delivered"] == 27


async def test_a_lane_that_was_found_dead_has_one_connection_at_a_time(
    store: Store, clock: Clock
) -> None:
    """Else the dead receivers of a few lanes would have all the connections that there are."""
    with CallbackReceiver(never_answers) as dead:
        for _ in range(2 * TOGETHER):
            await ended(store, to(dead))
        async with deliverer(store, clock, its_sender=sender(timeout_s=1.5)):
            await asyncio.to_thread(wait_until, lambda: dead.connections == TOGETHER + 2)
            assert dead.open_connections <= 2  # the former one may not be seen to be closed yet


async def test_to_one_receiver_there_are_a_few_connections_at_once(
    store: Store, clock: Clock
) -> None:
    with CallbackReceiver() as receiver:
        receiver.pause()
        for _ in range(3 * TOGETHER):
            await ended(store, to(receiver))
        async with deliverer(store, clock):
            await receiver.received(TOGETHER)
            assert receiver.open_connections == TOGETHER
            receiver.resume()
            await until_ended(store)

    assert len(receiver.requests) == 3 * TOGETHER


# --- several deliverers, and restarts


async def test_two_deliverers_deliver_each_event_once(
    store: Store, second: Store, clock: Clock
) -> None:
    with CallbackReceiver() as receiver:
        ids = [await ended(store, to(receiver)) for _ in range(40)]
        async with deliverer(store, clock, name="one"), deliverer(second, clock, name="two"):
            await until_ended(store)

    wanted = [str((await the_delivery(store, one)).id) for one in ids]
    assert sorted(one.webhook_id for one in receiver.requests) == sorted(wanted)


async def test_a_restarted_deliverer_goes_on_where_the_former_was(
    store: Store, clock: Clock
) -> None:
    with CallbackReceiver(answers(500), answers(200)) as receiver:
        async with deliverer(store, clock):
            generation_id = await ended(store, to(receiver))
            before = await until_tried(store, generation_id, 1)
        async with deliverer(store, clock):
            clock.forward(SCHEDULE[0] + 1)
            await until_ended(store)

    after = await the_delivery(store, generation_id)
    assert (after.state, after.tries[:1]) == ("delivered", before.tries)
    assert len(receiver.requests) == 2


async def test_a_deliverer_that_stops_in_the_middle_of_a_try_leaves_it_to_the_next(
    store: Store, clock: Clock
) -> None:
    with CallbackReceiver() as receiver:
        receiver.pause()
        async with deliverer(store, clock):
            generation_id = await ended(store, to(receiver))
            await receiver.received(1)
        assert (await the_delivery(store, generation_id)).tries == ()
        receiver.resume()
        async with deliverer(store, clock):
            await until_ended(store)

    assert {one.webhook_id for one in receiver.requests} == {
        str((await the_delivery(store, generation_id)).id)
    }


# --- what is told of it


async def test_the_log_and_the_metrics_tell_outcomes_and_no_secrets(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = _tries()
    with CallbackReceiver(answers(500), answers(200), path="/hook/its-secret") as receiver:
        async with deliverer(store, clock):
            generation_id = await ended(store, to(receiver))
            await until_tried(store, generation_id, 1)
            clock.forward(SCHEDULE[0])
            await until_ended(store)

    delivery = await the_delivery(store, generation_id)
    said = [one.getMessage() for one in caplog.records if one.name == "webhooks.deliverer"]
    where = Receiver.of(receiver.url).shown
    assert said == [
        f"delivery {delivery.id}: generation.succeeded to {where} again in 5 s: answered 500",
        f"delivery {delivery.id}: generation.succeeded to {where} delivered, answered 200",
    ]
    assert "its-secret" not in caplog.text
    assert (await secret_of(store)) not in caplog.text
    assert {name: count - before[name] for name, count in _tries().items()} == {
        "delivered": 1,
        "failed": 1,
        "gone": 0,
        "refused": 0,
    }


def _tries() -> dict[str, float]:
    return {
        name: REGISTRY.get_sample_value("easel_delivery_tries_total", {"outcome": name}) or 0.0
        for name in ("delivered", "failed", "gone", "refused")
    }
