"""Callbacks: an event that was decided arrives, whatever dies between the end and its arrival."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.chaos.house import ChaosStack, a_request
from tests.harness.generations import GenerationHandle
from tests.harness.receiver import CallbackReceiver, Received, answers, resets
from tests.harness.waiting import wait_until
from webhooks.deliverer import TOGETHER

pytestmark = pytest.mark.chaos
long = pytest.mark.long
SUCCEEDED: Final = "generation.succeeded"


@pytest.fixture
def receiver() -> Iterator[CallbackReceiver]:
    with CallbackReceiver(answers()) as listening:
        yield listening


def asked(house: ChaosStack, receiver: CallbackReceiver, seed: int) -> GenerationHandle:
    return house.create(**a_request(seed), callback_url=receiver.url)


def of(receiver: CallbackReceiver, generation: GenerationHandle) -> list[Received]:
    return [it for it in receiver.requests if generation.id.encode() in it.body]


def arrived(
    house: ChaosStack,
    receiver: CallbackReceiver,
    generation: GenerationHandle,
    event: str = SUCCEEDED,
) -> list[Received]:
    """Returns the requests about it, verified, once its only delivery has ended well."""

    def delivered() -> bool:
        found = house.deliveries(task_id=generation.id)
        return [(it["type"], it["state"]) for it in found] == [(event, "delivered")]

    wait_until(delivered, lambda: f"the event: {house.deliveries(task_id=generation.id)}")
    requests = of(receiver, generation)
    told: list[Any] = [it.verified(house.secret()) for it in requests]
    assert told
    assert {(it["type"], it["data"]["status"]) for it in told} == {(event, event[11:])}
    assert len({it.webhook_id for it in requests}) == 1
    assert len({it.body for it in requests}) == 1
    return requests


def test_the_api_is_killed_before_it_sends(
    house: ChaosStack, receiver: CallbackReceiver, seed: int
) -> None:
    house.arm("deliver.before_send", "kill")
    generation = asked(house, receiver, seed)
    house.wait_until_dead("api")
    assert of(receiver, generation) == []
    house.start_api()
    assert len(arrived(house, receiver, generation)) == 1
    house.check([generation])


def test_the_api_is_killed_before_it_records_that_it_was_sent(
    house: ChaosStack, receiver: CallbackReceiver, seed: int
) -> None:
    house.arm("deliver.after_send", "kill")
    generation = asked(house, receiver, seed)
    house.wait_until_dead("api")
    assert len(of(receiver, generation)) == 1
    house.start_api()
    assert len(arrived(house, receiver, generation)) == 2
    house.check([generation])


@long
def test_there_is_no_api_when_it_ends(
    house: ChaosStack, receiver: CallbackReceiver, seed: int
) -> None:
    with house.halfway("nobody listens", seed=seed, callback_url=receiver.url) as generation:
        house.kill_api()
    wait_until(lambda: house.status_in_store(generation) == "succeeded", "its end in the store")
    assert of(receiver, generation) == []
    house.start_api()
    assert len(arrived(house, receiver, generation)) == 1
    house.check([generation])


@pytest.mark.parametrize(
    "moment", ["state.after_commit", pytest.param("state.before_commit", marks=long)]
)
def test_the_worker_is_killed_as_it_ends(
    house: ChaosStack, receiver: CallbackReceiver, moment: str, seed: int
) -> None:
    house.arm(moment, "kill")
    generation = asked(house, receiver, seed)
    house.wait_until_dead("worker")
    house.start_worker()
    assert house.ends(generation) == "succeeded"
    assert len(arrived(house, receiver, generation)) == 1
    house.check([generation])


def test_two_apis_deliver_from_one_store(
    house: ChaosStack, receiver: CallbackReceiver, seed: int
) -> None:
    twin = house.twin_of_api()
    twin.start()
    try:
        generations = [asked(house, receiver, seed + number) for number in range(12)]
        house.arm("deliver.after_send", "kill")  # whichever of them comes to it
        wait_until(lambda: not (twin.is_running and house.part("api").is_running), "the end of one")
        house.start_api()
        requests = [arrived(house, receiver, generation) for generation in generations]
        house.check(generations)
    finally:
        twin.kill()
    sent = sum(map(len, requests))  # some were sent by what died, and not recorded
    assert len(generations) < sent <= len(generations) + TOGETHER
    assert {len(one) for one in requests} == {1, 2}


def test_the_receiver_is_away_and_comes_back(
    house: ChaosStack, receiver: CallbackReceiver, seed: int
) -> None:
    receiver.down()
    generation = asked(house, receiver, seed)
    assert house.ends(generation) == "succeeded"
    wait_until(
        lambda: [len(it["tries"]) >= 2 for it in house.deliveries(task_id=generation.id)] == [True],
        "two tries",
    )
    receiver.script = [resets, answers(503), answers()]
    receiver.up()
    assert len(arrived(house, receiver, generation)) == 3
    house.check([generation])


def test_what_is_deleted_delivers_nothing_more(
    house: ChaosStack, receiver: CallbackReceiver, seed: int
) -> None:
    receiver.down()
    generation = asked(house, receiver, seed)
    assert house.ends(generation) == "succeeded"
    wait_until(lambda: house.deliveries(task_id=generation.id)[0]["tries"], "a try")
    assert generation.delete().status_code == 204
    assert house.deliveries(task_id=generation.id) == []
    receiver.up()
    later = asked(house, receiver, seed + 1)
    arrived(house, receiver, later)
    assert of(receiver, generation) == []
    house.check([generation, later])


@long
def test_the_api_is_killed_while_a_deleted_one_is_on_its_way(
    house: ChaosStack, receiver: CallbackReceiver, seed: int
) -> None:
    receiver.pause()
    generation = asked(house, receiver, seed)
    receiver.wait_for(1)
    assert generation.delete().status_code == 204
    house.kill_api()
    receiver.resume()
    house.start_api()
    later = asked(house, receiver, seed + 1)
    arrived(house, receiver, later)
    assert len(of(receiver, generation)) == 1  # it was there before the delete
    house.check([generation, later])


@long
def test_prefect_is_away_when_it_ends(
    house: ChaosStack, receiver: CallbackReceiver, seed: int
) -> None:
    with house.halfway("without prefect", seed=seed, callback_url=receiver.url) as generation:
        house.stop_prefect()
    arrived(house, receiver, generation)
    house.start_prefect()
    house.check([generation])


def _ends_delivered(house: ChaosStack, batch_id: str) -> int:
    """How many ends of a batch and its items are delivered; a start may be overtaken by them."""
    deliveries = house.deliveries(batch_id=batch_id)
    ends = [it for it in deliveries if it["type"] != "batch.running"]
    return [it["state"] for it in ends].count("delivered")


def test_a_batch_and_its_items_are_heard_of_in_order(
    house: ChaosStack, receiver: CallbackReceiver, seed: int
) -> None:
    house.arm("deliver.after_send", "kill:2")
    batch = house.create_batch(
        items=[{"prompt": "a fox", "count": 4}],
        seed=seed,
        callback_url=receiver.url,
        callback_events=["batch.running", "batch.succeeded", "generation.succeeded"],
    )
    house.wait_until_dead("api")
    house.start_api()
    batch.wait_for("succeeded")
    wait_until(
        lambda: _ends_delivered(house, batch.id) == 5,
        lambda: f"its events: {house.deliveries(batch_id=batch.id)}",
    )
    first = {it.webhook_id: it.verified(house.secret()) for it in reversed(receiver.requests)}
    events = sorted(it["type"] for it in first.values())
    assert [it for it in events if it != "batch.running"] == ["batch.succeeded", *[SUCCEEDED] * 4]
    assert {it["data"]["batch_id"] for it in first.values()} == {batch.id}
    of_batch = [
        it["type"]
        for it in (request.verified(house.secret()) for request in receiver.requests)
        if it["type"].startswith("batch")
    ]
    assert of_batch == sorted(of_batch)
