"""Imports where the API does not reach ComfyUI: the worker beside it lists and fetches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from comfy import ComfyClient
from flows.nodes import look_at_nodes
from flows.sources import Answering, look_at_sources
from store.values import WorkerRecord
from tests.api.conftest import StartService
from tests.api.service import Comfy, Service, assert_problem
from tests.api.test_workflow_import import GRAPH, WORKFLOWS
from tests.harness.waiting import wait_until

NAME: Final = "fox of the worker.json"


@pytest.fixture
def far(start_service: StartService, comfy: Comfy) -> Service:
    """An API that does not reach the ComfyUI of its worker, which offers a workflow."""
    path = quote(f"workflows/{NAME}", safe="")
    assert httpx.post(f"{comfy.url}/userdata/{path}", json=GRAPH).status_code == 200
    service = start_service()
    seen(service, comfy)
    return service


def seen(service: Service, comfy: Comfy, ago: timedelta = timedelta()) -> None:
    """Record the worker, as it does itself while it lives."""
    at = datetime.now(UTC) - ago
    record = WorkerRecord("gpu", comfy.url, True, None, at, at)
    service.worker.run(service.worker.store.registry.record_worker(record))


@contextmanager
def at_work(service: Service, comfy: Comfy) -> Iterator[None]:
    """The worker's loops, on a store and a client of their own."""
    store, client = service.worker.store, ComfyClient(comfy.url)
    loop = Answering(store, client)

    async def begin() -> None:
        await look_at_nodes(store, client)
        await look_at_sources(store, client)
        loop.start()

    async def end() -> None:
        await loop.stop()
        await client.aclose()

    service.worker.run(begin())
    seen(service, comfy)
    try:
        yield
    finally:
        service.worker.run(end())


def imported(service: Service, source: str) -> httpx.Response:
    name = f"own-{uuid4().hex[:12]}"
    return service.client.post(WORKFLOWS, json={"source": source}, params={"name": name})


def listed(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.get(f"{WORKFLOWS}/sources").json()
    return found


def test_what_the_workers_comfyui_offers_can_be_imported(far: Service, comfy: Comfy) -> None:
    before = listed(far)
    assert before["problem"] is not None
    assert f"saved:{NAME}" not in [each["source"] for each in before["items"]]

    with at_work(far, comfy):
        now = listed(far)
        answered = imported(far, f"saved:{NAME}")
        unknown = imported(far, "saved:owl.json")

    assert now["problem"] is None
    assert f"saved:{NAME}" in [each["source"] for each in now["items"]]
    assert answered.status_code == 201, answered.text
    assert answered.json()["declaration"]["origin"]["source"] == f"saved:{NAME}"
    assert_problem(unknown, 422, "unknown_source")
    assert far.count("source_requests") == 0


def test_a_worker_that_does_not_answer_is_not_waited_for_long(
    far: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.workflows.sources.ANSWER_WITHIN_S", 0.3)

    answered = imported(far, f"saved:{NAME}")

    assert_problem(answered, 503, "not_available")
    assert "no worker fetched it within 0.3 s" in answered.json()["detail"]
    assert far.count("source_requests") == 0


def test_a_worker_that_died_is_not_asked(far: Service, comfy: Comfy) -> None:
    """It left its record, and what its ComfyUI offered."""
    with at_work(far, comfy):
        pass
    seen(far, comfy, ago=timedelta(hours=1))

    wait_until(lambda: listed(far)["problem"] is not None)
    answered = imported(far, f"saved:{NAME}")

    assert_problem(answered, 503, "not_available")
    assert answered.json()["detail"] == listed(far)["problem"]


def test_a_list_of_another_version_is_read_as_far_as_it_goes(far: Service, comfy: Comfy) -> None:
    told: list[Any] = [
        {"kind": "saved", "name": "owl.json", "title": 5, "later": True},
        {"kind": "canary", "name": "x"},
        {"kind": "saved"},
        "canary",
    ]
    far.worker.run(far.worker.store.sources.keep(comfy.url, told))

    found = [each for each in listed(far)["items"] if each["kind"] != "shipped"]

    assert [each["source"] for each in found] == ["saved:owl.json"]
