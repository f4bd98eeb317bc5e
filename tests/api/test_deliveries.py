"""Deliveries as clients see them: in pages, one by one, sent again by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.conftest import HERE, shared_service
from tests.api.service import (
    DELIVERIES,
    HISTORY,
    Backstage,
    Comfy,
    Service,
    assert_problem,
)
from tests.harness.receiver import CallbackReceiver, answers
from tests.harness.waiting import wait_until


@pytest.fixture(scope="module")
def service(
    backstage: Backstage, shared_comfy: Comfy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Shared, as elsewhere; receivers on this machine are allowed."""
    home = tmp_path_factory.mktemp("home")
    with shared_service(backstage, shared_comfy, home, callbacks_to=HERE) as service:
        yield service


def test_what_waits_to_be_delivered(service: Service, receiver: CallbackReceiver) -> None:
    receiver.pause()
    task_id = service.created(callback_url=receiver.url)
    service.worker.finish(task_id)

    [found] = service.deliveries(task_id=task_id)

    one = found["delivery_id"]
    assert str(UUID(one)) == one
    assert {name: found[name] for name in ("type", "state", "reason", "host", "callback")} == {
        "type": "generation.succeeded",
        "state": "pending",
        "reason": None,
        "host": f"127.0.0.1:{receiver.port}",
        "callback": None,
    }
    assert (found["task_id"], found["batch_id"]) == (str(task_id), None)
    assert found["tries"] == []
    assert found["ended_at"] is None
    assert service.get(f"{DELIVERIES}/{one}").json() == found


def test_those_of_a_batch_are_its_own_and_those_of_its_items(
    service: Service, receiver: CallbackReceiver
) -> None:
    receiver.pause()
    events = ["batch.running", "generation.failed"]
    batch_id = service.created_batch(
        "a fox", "an owl", callback_url=receiver.url, callback_events=events
    )
    first, second = service.worker.begin_batch(batch_id, 2)
    service.worker.fail(service.worker.start(first))
    service.worker.finish(second)

    found = service.deliveries(batch_id=batch_id)

    assert [(one["type"], one["task_id"]) for one in found] == [
        ("generation.failed", str(first)),
        ("batch.running", None),
    ]
    assert service.deliveries(task_id=second) == []


def test_a_page_is_turned_both_ways(service: Service, receiver: CallbackReceiver) -> None:
    receiver.pause()
    batch_id = service.created_batch(
        *(f"fox {number}" for number in range(5)),
        callback_url=receiver.url,
        callback_events=["generation.succeeded"],
    )
    made = service.worker.begin_batch(batch_id, 5)
    for one in made:
        service.worker.finish(one)

    def page(cursor: str | None) -> dict[str, Any]:
        more = {} if cursor is None else {"cursor": cursor}
        answered = service.get(DELIVERIES, params={"batch_id": batch_id, "limit": 2, **more})
        found: dict[str, Any] = answered.json()
        return found

    first = page(None)
    second = page(first["next_cursor"])
    third = page(second["next_cursor"])
    found = [one["task_id"] for each in (first, second, third) for one in each["items"]]
    assert found == [str(one) for one in reversed(made)]
    assert (first["previous_cursor"], third["next_cursor"]) == (None, None)
    assert page(second["previous_cursor"])["items"] == first["items"]


@pytest.mark.parametrize("query", [{"state": "sent"}, {"task_id": "zx81canary"}, {"status": "ok"}])
def test_a_filter_that_is_none_is_refused(service: Service, query: dict[str, str]) -> None:
    refused = service.get(DELIVERIES, params=query)

    assert_problem(refused, 422, "invalid_request")
    assert "zx81canary" not in refused.text


def test_a_cursor_of_another_list_is_refused(service: Service) -> None:
    service.created()
    service.created()
    cursor = service.get(HISTORY, params={"limit": 1}).json()["next_cursor"]

    refused = service.get(DELIVERIES, params={"cursor": cursor})
    assert_problem(refused, 400, "invalid_cursor")


def test_an_unknown_delivery_is_not_found(service: Service) -> None:
    for one in (uuid4(), "zx81canary"):
        assert_problem(service.get(f"{DELIVERIES}/{one}"), 404, "not_found")
        again = service.client.post(f"{DELIVERIES}/{one}/redeliver")
        assert_problem(again, 404, "not_found")


def test_those_of_a_deleted_generation_are_gone(
    service: Service, receiver: CallbackReceiver
) -> None:
    receiver.pause()
    task_id = service.created(callback_url=receiver.url)
    service.worker.finish(task_id)
    [found] = service.deliveries(task_id=task_id)

    service.client.delete(f"/api/v1/generation/{task_id}")

    assert service.deliveries(task_id=task_id) == []
    assert_problem(service.get(f"{DELIVERIES}/{found['delivery_id']}"), 404, "not_found")


def ended(service: Service, task_id: UUID, state: str, tries: int = 1) -> dict[str, Any]:
    """The one delivery of a generation, once it is in this state after so many tries."""
    found: dict[str, Any] = {}

    def has_come() -> bool:
        [one] = service.deliveries(task_id=task_id)
        found.update(one)
        if state == "pending" and one["next_try_at"] is None:
            return False  # it is put off right after the try is recorded
        return one["state"] == state and len(one["tries"]) == tries

    wait_until(has_come, lambda: f"{state} after {tries} tries; it is {found}")
    return found


def finished(service: Service, url: str) -> UUID:
    task_id = service.created(callback_url=url)
    service.worker.finish(task_id)
    return task_id


def secret_of(service: Service) -> str:
    [secret] = service.worker.run(service.worker.store.secrets.valid())
    return secret


def test_an_event_is_delivered_and_its_answer_shown(
    service: Service, receiver: CallbackReceiver
) -> None:
    receiver.script = [answers(201, body=b"thank you")]
    task_id = finished(service, receiver.url)

    found = ended(service, task_id, "delivered")

    [request] = receiver.requests
    told = request.verified(secret_of(service))
    assert told["type"] == "generation.succeeded"
    [item] = [one for one in service.history() if one["task_id"] == str(task_id)]
    assert told["data"] == item
    assert request.webhook_id == found["delivery_id"]
    [one] = found["tries"]
    assert (one["status"], one["answer"], one["error"]) == (201, "thank you", None)
    assert type(one["milliseconds"]) is int
    assert found["ended_at"] >= one["at"] >= found["created_at"]
    assert (found["reason"], found["next_try_at"]) == (None, None)


def test_what_an_answer_says_is_only_text(service: Service, receiver: CallbackReceiver) -> None:
    hostile = "<script>alert(1)</script>\x00\x1b[31m\u202e\r\nSet-Cookie: a=b {{7*7}}".encode()
    receiver.script = [answers(500, {"Retry-After": "<b>"}, hostile + b"\xff" + b"x" * 10_000)]
    task_id = finished(service, receiver.url)

    found = ended(service, task_id, "pending")

    assert found["reason"] == "answered 500"
    assert found["next_try_at"] > found["tries"][0]["at"]
    said = found["tries"][0]["answer"]
    assert said.startswith("<script>alert(1)</script>")
    assert len(said) <= 500
    assert all(character.isprintable() or character in "\t\n" for character in said)
    for path in (DELIVERIES, f"{DELIVERIES}/{found['delivery_id']}"):
        answered = service.get(path)
        assert answered.headers["content-type"] == "application/json"
        assert answered.headers["cache-control"] == "no-store"
        assert "set-cookie" not in answered.headers


def test_it_is_sent_again_at_once_as_it_was(service: Service, receiver: CallbackReceiver) -> None:
    receiver.script = [answers(503), answers(200)]
    task_id = service.created(callback_url=receiver.url)
    service.worker.fail(service.worker.start(task_id))
    one = ended(service, task_id, "pending")["delivery_id"]
    service.client.post(service.of(task_id, "retry"))

    again = service.client.post(f"{DELIVERIES}/{one}/redeliver")

    assert again.status_code == 202
    assert (again.json()["delivery_id"], again.json()["state"]) == (one, "pending")
    found = ended(service, task_id, "delivered", tries=2)
    assert [each["status"] for each in found["tries"]] == [503, 200]
    first, second = receiver.requests
    assert first.webhook_id == second.webhook_id == one
    assert first.body == second.body
    assert second.verified(secret_of(service))["data"]["status"] == "failed"


def test_what_was_delivered_can_be_sent_again(service: Service, receiver: CallbackReceiver) -> None:
    task_id = finished(service, receiver.url)
    one = ended(service, task_id, "delivered")["delivery_id"]

    assert service.client.post(f"{DELIVERIES}/{one}/redeliver").status_code == 202

    ended(service, task_id, "delivered", tries=2)
    first, second = receiver.requests
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)


def test_an_address_that_is_gone_is_told_with_what_to_do(
    service: Service, receiver: CallbackReceiver
) -> None:
    receiver.script = [answers(410)]
    found = ended(service, finished(service, receiver.url), "failed")
    assert found["tries"][0]["status"] == 410

    later = ended(service, finished(service, receiver.url), "failed", tries=0)

    assert later["reason"] == found["reason"]
    assert "easel webhooks enable" in later["reason"]
    assert len(receiver.requests) == 1


def test_easel_itself_is_no_receiver(service: Service) -> None:
    before = service.count()
    task_id = finished(service, f"{service.url}/api/v1/generation/create")

    found = ended(service, task_id, "pending")

    assert "a service of Easel itself" in found["tries"][0]["error"]
    assert found["tries"][0]["status"] is None
    assert service.count() == before + 1
