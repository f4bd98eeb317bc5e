"""A client follows a generation, loses its connection, and comes back."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.harness.generations import BASE
from tests.harness.stack import Stack

pytestmark = pytest.mark.journey


def test_a_broken_stream_goes_on_where_it_broke_off(stack: Stack) -> None:
    with stack.halfway("a long story") as generation:
        stream = generation.events()
        first = next(stream)
        stream.close()  # type: ignore[attr-defined]
    events = list(generation.events(last_event_id=first.id))
    assert all(int(event.id) > int(first.id) for event in events)
    assert events[-1].name == "status"
    assert events[-1].data["status"] == "succeeded"
    assert "output" in {event.name for event in events}


def test_a_stream_of_what_has_ended_says_so_and_ends(stack: Stack) -> None:
    generation = stack.create("over already")
    generation.wait_for("succeeded")
    events = list(generation.events())
    assert [event.name for event in events][-2:] == ["output", "status"]
    again = stack.api.get(
        f"{BASE}/{generation.id}/events", headers={"Last-Event-ID": str(events[-1].id)}
    )
    assert again.status_code == 204  # an EventSource does not come again


def test_live_previews_can_be_fetched(stack: Stack) -> None:
    with stack.halfway("a first glimpse") as generation:
        for event in generation.events():
            if event.name == "preview":
                preview = stack.api.get(event.data["url"])
                break
    assert preview.status_code == 200
    assert preview.headers["Content-Type"].startswith("image/")
    generation.wait_for("succeeded")


def test_there_is_no_stream_of_what_is_not_there(stack: Stack) -> None:
    unknown = stack.api.get(f"{BASE}/{uuid4()}/events")
    assert unknown.status_code == 404
    assert unknown.headers["Content-Type"] == "application/problem+json"

    generation = stack.create("soon gone")
    generation.wait_for("succeeded")
    generation.delete()
    deleted = stack.api.get(f"{BASE}/{generation.id}/events")
    assert deleted.status_code == 410
    assert deleted.headers["Content-Type"] == "application/problem+json"


def test_an_image_is_shown_before_it_is_kept(stack: Stack) -> None:
    with stack.halfway("a fox that cannot wait") as generation:
        history = f"/history/{generation.prompt_id}"
        stack.emulator.fault("answer", method="GET", path=history, status=503, times=100_000)
        stream = generation.events()
        next(stream)
    told = next(event for event in stream if event.name == "rendered")
    stream.close()  # type: ignore[attr-defined]
    early = stack.api.get(told.data["url"])
    assert (early.status_code, early.headers["Cache-Control"]) == (200, "no-store")
    assert early.content.startswith(b"\x89PNG")
    assert generation.status()["status"] == "running"
    stack.emulator.clear()
    generation.wait_for("succeeded")
    (kept,) = generation.result()["outputs"]
    later = stack.api.get(told.data["url"])
    assert later.status_code == 307
    assert later.headers["Location"].endswith(kept["artefact_id"])
