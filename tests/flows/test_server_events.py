"""Events as Easel has Prefect's server write them: all of them, each once."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.flows.prefect_server import Server
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


def _event(number: int) -> dict[str, object]:
    return {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "easel.thing",
        "resource": {"prefect.resource.id": f"easel.thing.{number}"},
        "related": [
            {"prefect.resource.id": f"easel.part.{number}.{part}", "prefect.resource.role": "part"}
            for part in range(3)
        ],
        "payload": {"number": number},
    }


def _count(server: Server, table: str) -> int:
    id_ = "id" if table == "events" else "event_id"
    ours = f"{id_} IN (SELECT id FROM events WHERE event = 'easel.thing')"
    [(count,)] = server.select(f"SELECT count(*) FROM {table} WHERE {ours}")
    assert isinstance(count, int)
    return count


def test_each_event_is_written_once_with_its_resources_though_it_comes_twice(
    server: Server,
) -> None:
    events = [_event(number) for number in range(300)]  # more than fit one of Prefect's statements
    for sent in (events[:200], events[100:], events[:1]):
        assert server.http.post("/events", json=sent).is_success

    wait_until(lambda: _count(server, "events") == 300, server.process.tail)
    assert _count(server, "event_resources") == 300 * 4  # the resource, and three related ones
    found = server.http.post(
        "/events/filter",
        json={
            "filter": {"resource": {"id": ["easel.thing.7"]}, "event": {"name": ["easel.thing"]}}
        },
    ).json()["events"]
    assert [(one["id"], one["payload"]) for one in found] == [(events[7]["id"], {"number": 7})]
    assert [related["prefect.resource.id"] for related in found[0]["related"]] == [
        f"easel.part.7.{part}" for part in range(3)
    ]
