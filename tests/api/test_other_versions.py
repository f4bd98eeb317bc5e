"""Rows that another version of Easel wrote, as clients see them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from tests.api.service import HISTORY, Service
from tests.harness.sse import follow
from tests.store.other_versions import OTHERS, Change, Document

every_change = pytest.mark.parametrize("change", OTHERS)


def rewritten(
    service: Service, change: Change, *, table: str = "generations", **key: Any
) -> Document:
    """Store a request as another version would; what is stored then."""
    where = " AND ".join(f"{name} = ?" for name in key)
    values = [value.hex if isinstance(value, UUID) else value for value in key.values()]
    with service.database() as connection:
        query = f"SELECT request FROM {table} WHERE {where}"
        [(stored,)] = connection.execute(query, values).fetchall()
        changed = change(json.loads(stored))
        connection.execute(
            f"UPDATE {table} SET request = ? WHERE {where}",
            [json.dumps(changed), *values],
        )
    return changed


@every_change
def test_status_and_history_give_it_as_it_was_stored(service: Service, change: Change) -> None:
    first, unread, last = (service.created(f"fox {number}") for number in range(3))
    stored = rewritten(service, change, id=unread)

    assert service.status(unread)["request"] == stored
    items = service.get(HISTORY, params={"limit": 3}).json()["items"]
    assert [item["task_id"] for item in items] == [str(one) for one in (last, unread, first)]
    assert [item["request"]["prompt"] for item in items] == ["fox 2", "fox 1", "fox 0"]
    assert items[1]["request"] == stored


@every_change
def test_the_pictures_that_it_made_are_given(service: Service, change: Change) -> None:
    task_id = service.created()
    service.worker.finish(task_id)
    stored = rewritten(service, change, id=task_id)

    result = service.get(service.of(task_id, "result"))

    assert result.status_code == 200
    assert result.json()["request"] == stored
    assert service.get(result.json()["images"][0]["url"]).status_code == 200


@every_change
def test_its_events_are_told(service: Service, change: Change) -> None:
    task_id = service.created()
    service.worker.finish(task_id)
    stored = rewritten(service, change, id=task_id)

    events = list(follow(service.client, service.of(task_id, "events")))

    assert [event.name for event in events] == ["progress", "output", "status"]
    assert events[-1].data["request"] == stored


@every_change
def test_trying_it_again_fails_it_and_holds_nothing_up(service: Service, change: Change) -> None:
    task_id = service.created()
    service.worker.fail(service.worker.start(task_id))
    rewritten(service, change, id=task_id)

    assert service.client.post(service.of(task_id, "retry")).status_code == 202

    document = service.status(task_id)
    assert document["status"] == "failed"
    assert (document["attempt"], document["error"]["code"]) == (2, "unreadable_document")
    assert OTHERS[change] in document["error"]["detail"]
    attempts = service.get(service.of(task_id, "attempts")).json()["attempts"]
    assert attempts[1]["error"]["code"] == "unreadable_document"
    other = service.created()
    service.worker.finish(other)
    assert service.status(other)["status"] == "succeeded"


@every_change
def test_it_can_be_deleted(service: Service, change: Change) -> None:
    task_id = service.created()
    rewritten(service, change, id=task_id)

    assert service.client.delete(f"/api/v1/generation/{task_id}").status_code == 204
    assert service.get(service.of(task_id, "status")).status_code == 410


@every_change
def test_a_batch_gives_its_items_as_they_were_stored(service: Service, change: Change) -> None:
    batch_id = service.created_batch("a fox", "an owl", "a hen")
    first, second = service.worker.begin_batch(batch_id, 2)
    service.worker.finish(first)
    service.worker.finish(second)
    begun = rewritten(service, change, id=second)
    waiting = rewritten(service, change, table="batch_items", batch_id=batch_id, position=2)

    items = service.items(batch_id)

    assert [item["request"]["prompt"] for item in items] == ["a fox", "an owl", "a hen"]
    assert (items[1]["request"], items[1]["generation"]["request"]) == (begun, begun)
    assert (items[2]["request"], items[2]["generation"]) == (waiting, None)
    assert service.get(f"/api/v1/batches/{batch_id}/results.zip").status_code == 200


def test_a_batch_gives_its_options_as_they_were_stored(service: Service) -> None:
    batch_id = service.created_batch("a fox", max_in_flight=2)
    with service.database() as connection:
        query = "SELECT options FROM batches WHERE id = ?"
        [(stored,)] = connection.execute(query, [batch_id.hex]).fetchall()
        changed = {**json.loads(stored), "order": "shuffled"}
        connection.execute(
            "UPDATE batches SET options = ? WHERE id = ?", [json.dumps(changed), batch_id.hex]
        )

    assert service.batch(batch_id)["options"] == changed
    listed = service.get("/api/v1/batches", params={"limit": 1}).json()["items"]
    assert listed[0]["options"] == changed
