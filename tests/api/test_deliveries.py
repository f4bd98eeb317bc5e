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
from tests.harness.receiver import CallbackReceiver


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
    batch_id = service.created_batch("a fox", "an owl")
    service.give_callback(batch_id, receiver.url, *events)
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
    batch_id = service.created_batch(*(f"fox {number}" for number in range(5)))
    service.give_callback(batch_id, receiver.url, "generation.succeeded")
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
