"""Outputs before they are kept: announced once, served as ComfyUI has them, then the artefact's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest

from comfy import ComfyClient
from core.ids import output_filename
from flows.sources import Answering
from store.values import Claim, RenderedOutput, WorkerRecord
from tests.api.conftest import StartService
from tests.api.service import CHECKPOINTS, Comfy, Service, assert_problem, png
from tests.harness.sse import Event, follow


@pytest.fixture
def comfy(shared_comfy: Comfy) -> Comfy:
    """The one of the shared service."""
    return shared_comfy


def output_of(
    claim: Claim, comfy: Comfy, number: int = 1, kind: str = "image", ending: str = "_.png"
) -> RenderedOutput:
    name = output_filename(claim.prompt_id, number, ending)
    return RenderedOutput(kind, name, comfy.url)  # type: ignore[arg-type]


def rendered(
    service: Service, comfy: Comfy, data: bytes = b"", ending: str = "_.png", kind: str = "image"
) -> tuple[UUID, Claim]:
    """A generation of which ComfyUI has finished one output, and announced it."""
    task_id = service.created(model=CHECKPOINTS[0])
    claim = service.worker.start(task_id)
    output = output_of(claim, comfy, kind=kind, ending=ending)
    comfy.output(output.filename).write_bytes(data or png())
    service.worker.announce(claim, output)
    return task_id, claim


def got(service: Service, task_id: UUID, number: int | str = 1) -> httpx.Response:
    return service.get(service.of(task_id, f"rendered/{number}"))


def until(events: Iterator[Event], name: str, heard: list[Event]) -> Event:
    for event in events:
        heard.append(event)
        if event.name == name:
            return event
    raise AssertionError(f"the stream ended without {name}")


def test_it_is_told_and_served_before_it_is_kept(service: Service, comfy: Comfy) -> None:
    task_id = service.created()
    data, heard = png(color="gold"), list[Event]()
    events = follow(service.client, service.of(task_id, "events"))
    until(events, "status", heard)
    claim = service.worker.start(task_id)
    running = until(events, "status", heard)
    output = output_of(claim, comfy)
    comfy.output(output.filename).write_bytes(data)
    service.worker.announce(claim, output)

    told = until(events, "rendered", heard)

    assert told.data.keys() == {"number", "kind", "url"}
    assert (told.data["number"], told.data["kind"]) == (1, "image")
    now = service.worker.run(service.worker.store.generations.get(task_id))
    # Who goes on after it is told the rest of this state.
    assert int(running.id) <= int(told.id) < now.sequence
    assert service.status(task_id)["urls"]["rendered"] == told.data["url"]
    early = service.get(urlsplit(told.data["url"]).path)
    assert (early.status_code, early.content) == (200, data)
    assert early.headers["content-type"] == "image/png"
    assert early.headers["cache-control"] == "no-store"
    assert early.headers["x-content-type-options"] == "nosniff"
    assert early.headers["content-disposition"].startswith("inline; ")
    assert "sandbox" in early.headers["content-security-policy"]

    (kept,) = service.worker.succeed(claim, data)
    assert [event.name for event in events][-2:] == ["output", "status"]
    after = got(service, task_id)
    assert after.status_code == 307
    assert after.headers["location"] == f"/api/v1/artefacts/{kept.id}"
    assert after.headers["cache-control"] == "no-store"
    assert service.status(task_id)["urls"]["rendered"] is None


@pytest.mark.parametrize("last", [None, "0", "1"])
def test_it_is_not_told_again(service: Service, comfy: Comfy, last: str | None) -> None:
    task_id, claim = rendered(service, comfy)
    heard = list[Event]()
    events = follow(service.client, service.of(task_id, "events"), last)
    until(events, "status", heard)
    first = output_of(claim, comfy)
    second = output_of(claim, comfy, 2)

    service.worker.announce(claim, first, second)

    assert until(events, "rendered", heard).data["number"] == 2
    service.worker.succeed(claim)
    heard += list(events)
    assert [event.data["number"] for event in heard if event.name == "rendered"] == [2]


def test_each_leads_to_its_own_artefact(service: Service, comfy: Comfy) -> None:
    """They may be finished in another order than ComfyUI's history has them."""
    task_id = service.created()
    claim = service.worker.start(task_id)
    stranger = output_of(claim, comfy, 3)
    service.worker.announce(claim, output_of(claim, comfy, 2), output_of(claim, comfy, 1), stranger)

    first, second = service.worker.succeed(claim, png(), png(color="red"))

    wanted = [second.id, first.id]
    for number, artefact_id in enumerate(wanted, start=1):
        location = got(service, task_id, number).headers["location"]
        assert location == f"/api/v1/artefacts/{artefact_id}"
    assert_problem(got(service, task_id, 3), 404, "not_rendered")


def test_what_is_not_there_is_not_rendered(service: Service, comfy: Comfy) -> None:
    waiting = service.created()
    assert_problem(got(service, waiting), 404, "not_rendered")
    task_id, claim = rendered(service, comfy)
    assert_problem(got(service, task_id, 2), 404, "not_rendered")
    assert_problem(got(service, task_id, 0), 422, "invalid_request")
    assert_problem(got(service, task_id, "x"), 422, "invalid_request")
    comfy.output(output_of(claim, comfy).filename).unlink()
    assert_problem(got(service, task_id), 404, "not_rendered")


def test_what_ended_otherwise_shows_nothing(service: Service, comfy: Comfy) -> None:
    failed, claim = rendered(service, comfy)
    service.worker.fail(claim)
    deleted, _ = rendered(service, comfy)
    service.client.delete(f"/api/v1/generation/{deleted}")

    assert_problem(got(service, failed), 404, "not_rendered")
    assert service.status(failed)["urls"]["rendered"] is None
    assert_problem(got(service, deleted), 410, "deleted")


@pytest.mark.parametrize(
    "name", ["../../secret.png", "fox.png", "a/b.png", "0_.png", "6f9619ff_00001_.png"]
)
def test_only_files_of_prompts_are_asked_for(service: Service, comfy: Comfy, name: str) -> None:
    """Whatever a row says."""
    task_id = service.created()
    claim = service.worker.start(task_id)
    comfy.output("fox.png").write_bytes(png())
    service.worker.announce(claim, RenderedOutput("image", name, comfy.url))
    assert_problem(got(service, task_id), 404, "not_rendered")


def test_a_drawing_with_scripts_is_a_download(service: Service, comfy: Comfy) -> None:
    task_id, _ = rendered(service, comfy, b"<svg onload='x'/>", "_.svg", kind="file")
    answer = got(service, task_id)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize("data", [b"<html><script>alert(1)</script>", b"<svg/>"])
def test_a_page_in_place_of_a_picture_is_not_shown(
    service: Service, comfy: Comfy, data: bytes
) -> None:
    task_id, _ = rendered(service, comfy, data, "_.mp4", kind="video")
    assert_problem(got(service, task_id), 502, "comfyui_away")


def test_a_large_one_is_sent_as_it_comes(
    service: Service, comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.generations.renderings.HELD_MAX", 10)
    data = png(512, 512)
    task_id, _ = rendered(service, comfy, data)
    answer = got(service, task_id)
    assert (answer.content, answer.headers["content-length"]) == (data, str(len(data)))
    assert service.client.head(service.of(task_id, "rendered/1")).status_code == 200


def test_a_comfyui_that_says_nothing_is_not_waited_for_long(
    service: Service, comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.generations.renderings.WITHIN_S", 0.2)
    task_id, _ = rendered(service, comfy)
    comfy.faults.answer("GET", "/view", delay=600)
    try:
        assert_problem(got(service, task_id), 502, "comfyui_away")
    finally:
        comfy.faults.clear()
    assert got(service, task_id).status_code == 200


# --- where this API does not reach ComfyUI


@pytest.fixture
def far(backstage: object, start_service: StartService) -> Iterator[tuple[Service, Comfy]]:
    """A service, and a ComfyUI that only its worker reaches."""
    with Comfy(backstage) as comfy:  # type: ignore[arg-type]
        service = start_service()
        at = datetime.now(UTC)
        record = WorkerRecord("far", comfy.url, True, None, at, at)
        service.worker.run(service.worker.store.registry.record_worker(record))
        yield service, comfy


@contextmanager
def at_work(service: Service, comfy: Comfy) -> Iterator[None]:
    client = ComfyClient(comfy.url)
    answering = Answering(service.worker.store, client)

    async def begin() -> None:
        answering.start()

    async def end() -> None:
        await answering.stop()
        await client.aclose()

    service.worker.run(begin())
    try:
        yield
    finally:
        service.worker.run(end())


def test_its_worker_fetches_it(far: tuple[Service, Comfy]) -> None:
    service, comfy = far
    data = png(color="gold")
    task_id, claim = rendered(service, comfy, data)
    with at_work(service, comfy):
        answer = got(service, task_id)
        comfy.output(output_of(claim, comfy).filename).unlink()
        gone = got(service, task_id)
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-type"] == "image/png"
    assert_problem(gone, 404, "not_rendered")
    assert service.count("source_requests") == 0


def test_one_that_is_too_large_is_not_passed_on(
    far: tuple[Service, Comfy], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, comfy = far
    monkeypatch.setattr("flows.sources.RENDERED_MAX", 20)
    task_id, _ = rendered(service, comfy)
    with at_work(service, comfy):
        assert_problem(got(service, task_id), 502, "comfyui_away")


def test_a_worker_that_does_not_answer_is_not_waited_for_long(
    far: tuple[Service, Comfy], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, comfy = far
    monkeypatch.setattr("api.generations.renderings.WITHIN_S", 0.2)
    task_id, _ = rendered(service, comfy)
    assert_problem(got(service, task_id), 502, "comfyui_away")
    assert service.count("source_requests") == 0


def test_what_neither_can_give_is_not_told(far: tuple[Service, Comfy]) -> None:
    service, comfy = far
    task_id = service.created(model=CHECKPOINTS[0])
    heard = list[Event]()
    events = follow(service.client, service.of(task_id, "events"))
    until(events, "status", heard)
    claim = service.worker.start(task_id)
    film = output_of(claim, comfy, 1, "video", "_.mp4")
    service.worker.announce(claim, film, output_of(claim, comfy, 2))

    assert until(events, "rendered", heard).data["number"] == 2
    assert_problem(got(service, task_id, 1), 502, "comfyui_away")
    events.close()  # type: ignore[attr-defined]
