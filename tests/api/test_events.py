"""The event stream: in order, resumable, over when the generation is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest

import api.generations.events
from store.values import Preview
from tests.api.service import Service, png

FRAME: Final = png(32, 32, "gold")


@dataclass(frozen=True)
class Event:
    name: str
    id: int
    data: Any


def _events(response: httpx.Response) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            assert name not in fields
            fields[name] = value
        elif fields:
            yield Event(fields["event"], int(fields["id"]), json.loads(fields["data"]))
            fields = {}


@contextmanager
def _following(
    service: Service, task_id: UUID, last_event_id: int | str | None = None
) -> Iterator[Iterator[Event]]:
    last = str(last_event_id).encode("latin-1")
    headers = {} if last_event_id is None else {b"Last-Event-ID": last}
    path = service.of(task_id, "events")
    with service.client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "no-cache" in response.headers["cache-control"]
        yield _events(response)


def _until(events: Iterator[Event], name: str) -> list[Event]:
    """Everything up to the next event of this name."""
    heard = []
    for event in events:
        heard.append(event)
        if event.name == name:
            return heard
    raise AssertionError(f"the stream ended without {name}")


def test_from_beginning_to_end(service: Service) -> None:
    task_id = service.created()
    with _following(service, task_id) as events:
        heard = _until(events, "status")
        claim = service.worker.start(task_id)
        while heard[-1].data["status"] != "running":
            heard += _until(events, "status")
        for percent in (10.0, 55.5, 80.0):
            service.worker.progress(claim, percent)
            heard += _until(events, "progress")
        kept = service.worker.succeed(claim, png(), png(color="red"))
        heard += list(events)

    ids = [event.id for event in heard]
    assert ids == sorted(ids)
    percents = [event.data["percent"] for event in heard if event.name == "progress"]
    assert percents == [10.0, 55.5, 80.0, 100.0]
    statuses = [event.data["status"] for event in heard if event.name == "status"]
    assert (statuses[0], statuses[-2:]) == ("queued", ["running", "succeeded"])
    assert [event.name for event in heard[-3:]] == ["output", "output", "status"]
    assert [event.data["image_id"] for event in heard[-3:-1]] == [str(image.id) for image in kept]
    result = service.get(service.of(task_id, "result")).json()
    assert [event.data for event in heard[-3:-1]] == result["images"]
    assert heard[-1].data == service.status(task_id)


def test_what_ended_is_told_and_the_stream_is_over(service: Service) -> None:
    task_id = service.created()
    service.worker.finish(task_id)

    with _following(service, task_id) as events:
        assert [event.name for event in events] == ["progress", "output", "status"]


def test_who_comes_again_after_the_end_is_sent_away(service: Service) -> None:
    """A browser's EventSource comes again after any stream that ends, unless it gets 204."""
    task_id = service.created()
    service.worker.finish(task_id)
    with _following(service, task_id) as events:
        heard = list(events)
    sequence = service.status(task_id)["sequence"]
    assert [event.id for event in heard] == [sequence - 1, sequence - 1, sequence]

    again = {"Last-Event-ID": str(sequence)}
    assert service.get(service.of(task_id, "events"), headers=again).status_code == 204
    # A stream that was cut between the pictures and the end.
    with _following(service, task_id, last_event_id=sequence - 1) as events:
        assert list(events) == heard


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_bad_end_is_an_end_too(service: Service, end: str) -> None:
    task_id = service.created()
    claim = service.worker.start(task_id)
    with _following(service, task_id) as events:
        _until(events, "status")
        if end == "failed":
            service.worker.fail(claim)
        else:
            service.client.post(service.of(task_id, "cancel"))
            service.worker.cancel(claim)
        heard = list(events)

    assert heard[-1].name == "status"
    assert heard[-1].data["status"] == end
    assert not [event for event in heard if event.name == "output"]
    if end == "failed":
        assert heard[-1].data["error"]["node_class"] == "KSampler"


def test_a_broken_stream_goes_on_where_it_was(service: Service) -> None:
    task_id = service.created()
    claim = service.worker.start(task_id)
    with _following(service, task_id) as events:
        last = _until(events, "status")[-1].id
    service.worker.progress(claim, 40)

    with _following(service, task_id, last_event_id=last) as events:
        (missed,) = _until(events, "progress")
        assert missed.id > last
        assert missed.data["percent"] == 40
        service.worker.succeed(claim)
        rest = list(events)
    assert rest[-1].data["status"] == "succeeded"
    assert min(event.id for event in rest) >= missed.id


def test_nothing_is_told_twice_after_a_break(service: Service) -> None:
    task_id = service.created()
    claim = service.worker.start(task_id)
    service.worker.progress(claim, 40)
    with _following(service, task_id) as events:
        last = _until(events, "status")[-1].id

    with _following(service, task_id, last_event_id=last) as events:
        service.worker.progress(claim, 60)
        assert next(events).data["percent"] == 60


@pytest.mark.parametrize("odd", ["nonsense", "-1", "", "9" * 400, "9" * 5_000, "1.5", "²"])
def test_an_odd_last_event_id_does_no_harm(service: Service, odd: str) -> None:
    task_id = service.created()
    service.worker.finish(task_id)
    with _following(service, task_id, last_event_id=odd) as events:
        assert list(events)[-1].data["status"] == "succeeded"


def test_previews_are_shown_while_it_runs(service: Service) -> None:
    task_id = service.created()
    claim = service.worker.start(task_id)
    with _following(service, task_id) as events:
        _until(events, "status")
        seen = []
        for number, frame in enumerate((FRAME, png(32, 32, "navy")), start=1):
            preview = Preview(number, "image/png", frame)
            service.worker.progress(claim, 20.0 * number, preview=preview)
            shown = _until(events, "preview")[-1].data
            answer = service.get(shown["url"])
            seen.append((shown["number"], answer.content == frame))
            assert answer.headers["content-type"] == "image/png"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert service.status(task_id)["urls"]["preview"] == shown["url"]
        service.worker.succeed(claim)
        assert "preview" not in [event.name for event in events]

    assert seen == [(1, True), (2, True)]
    assert service.get(service.of(task_id, "preview")).status_code == 404
    assert service.status(task_id)["urls"]["preview"] is None


def test_a_preview_that_was_told_is_no_error_after_the_end(service: Service) -> None:
    task_id, other = service.created(), service.created()
    for started in (task_id, other):
        claim = service.worker.start(started)
        service.worker.progress(claim, 20, preview=Preview(3, "image/png", FRAME))
        told = urlsplit(service.status(started)["urls"]["preview"])
        assert told.query == "number=3"
        if started == task_id:
            service.worker.succeed(claim)
            asked = service.client.get(f"{told.path}?{told.query}", follow_redirects=True)
            assert asked.status_code == 200
            assert asked.url.path.endswith("/poster")
        else:
            service.worker.fail(claim)
            assert service.client.get(f"{told.path}?{told.query}").status_code == 204


def test_a_preview_is_told_once(service: Service) -> None:
    task_id = service.created()
    claim = service.worker.start(task_id)
    with _following(service, task_id) as events:
        _until(events, "status")
        preview = Preview(1, "image/png", FRAME)
        service.worker.progress(claim, 20, preview=preview)
        _until(events, "preview")
        service.worker.progress(claim, 30, preview=preview)
        service.worker.fail(claim)
        assert "preview" not in [event.name for event in events]


def test_a_retry_begins_anew(service: Service) -> None:
    task_id = service.created()
    service.worker.fail(service.worker.start(task_id))
    last = service.status(task_id)["sequence"]
    service.client.post(service.of(task_id, "retry"))

    with _following(service, task_id, last_event_id=last) as events:
        first = next(events)
        assert (first.name, first.data["attempt"]) == ("status", 2)
        service.worker.finish(task_id)
        assert list(events)[-1].data["status"] == "succeeded"


def test_the_stream_of_a_deleted_one_ends(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.generations.events, "DELETED_LOOK_EVERY_S", 0.05)
    task_id = service.created()
    service.worker.start(task_id)
    with _following(service, task_id) as events:
        _until(events, "status")
        service.client.delete(f"/api/v1/generation/{task_id}")
        list(events)


def test_followers_share_what_is_read(service: Service) -> None:
    task_id = service.created()

    async def follow(count: int) -> None:
        client = httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False)
        async with client, AsyncExitStack() as stack:
            path = service.of(task_id, "events")
            openings = [client.stream("GET", path) for _ in range(count)]
            for response in await asyncio.gather(*map(stack.enter_async_context, openings)):
                assert (await anext(response.aiter_lines())) == "event: status"

    with service.statements() as few:
        asyncio.run(follow(1))
    with service.statements() as many:
        asyncio.run(follow(50))
    # What is asked at the same moment is read once: far fewer than three reads for each.
    assert len([one for one in many if "FROM generations" in one]) < 50, (len(few), len(many))


def test_many_may_follow(service: Service) -> None:
    task_id = service.created()
    with _following(service, task_id) as one, _following(service, task_id) as other:
        for events in (one, other):
            _until(events, "status")
        service.worker.finish(task_id)
        assert list(one)[-1] == list(other)[-1]
