"""A batch is paused, resumed, cancelled and retried over HTTP."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import httpx
import pytest

from core.status import BATCH_ACTIVE, BatchStatus
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import (
    BATCHES,
    Comfy,
    Service,
    assert_problem,
)
from tests.harness.waiting import wait_until


def change(service: Service, batch_id: UUID, name: str) -> httpx.Response:
    return service.client.post(f"{BATCHES}/{batch_id}/{name}")


def changed(service: Service, batch_id: UUID, name: str) -> dict[str, Any]:
    response = change(service, batch_id, name)
    assert response.status_code == 202, response.text
    document: dict[str, Any] = response.json()
    assert document["batch_id"] == str(batch_id)
    return document


def test_a_batch_is_paused_and_resumed(service: Service) -> None:
    batch_id = service.created_batch("a fox", "an owl")
    service.worker.begin_batch(batch_id, 1)

    paused = changed(service, batch_id, "pause")
    assert (paused["status"], paused["waiting"]["code"]) == ("paused", "paused")
    assert changed(service, batch_id, "pause")["status"] == "paused"
    assert service.batch(batch_id)["status"] == "paused"

    assert changed(service, batch_id, "resume")["status"] == "running"
    assert changed(service, batch_id, "resume")["status"] == "running"
    assert service.worker.release(batch_id, 1)


def test_a_batch_that_was_never_begun_is_cancelled(
    start_service: StartService, comfy: Comfy
) -> None:
    """Though another one waits before it, and Prefect is away."""
    service = start_service(comfy.url)
    until_catalogue(service)
    before, batch_id = service.created_batch("an owl"), service.created_batch("a fox")

    assert changed(service, batch_id, "cancel")["status"] in ("cancelling", "cancelled")

    wait_until(lambda: service.batch(batch_id)["status"] == "cancelled")
    assert service.batch(before)["status"] == "queued"
    assert service.count() == 0


def test_a_cancelled_batch_begins_nothing_more(service: Service) -> None:
    batch_id = service.created_batch("a fox", "an owl")
    [begun] = service.worker.begin_batch(batch_id, 1)
    service.worker.start(begun)  # so that it lasts: its worker has to hear of it

    assert changed(service, batch_id, "cancel")["status"] == "cancelling"
    assert changed(service, batch_id, "cancel")["status"] == "cancelling"

    assert service.worker.release(batch_id, 0)
    assert len([item for item in service.items(batch_id) if item["generation"]]) == 1
    assert_problem(change(service, batch_id, "pause"), 409, "already_ended")
    assert_problem(change(service, batch_id, "resume"), 409, "already_ended")
    assert_problem(change(service, batch_id, "retry-failed"), 409, "not_retryable")


def test_what_failed_is_made_again(service: Service) -> None:
    batch_id = service.created_batch("0", "1", "2")
    children = service.worker.begin_batch(batch_id, 2)
    service.worker.finish(children[0])
    service.worker.fail(service.worker.start(children[1]))
    service.worker.end_batch(batch_id, "failed")

    again = changed(service, batch_id, "retry-failed")

    assert (again["status"], again["error"], again["finished_at"]) == ("queued", None, None)
    assert (again["counts"]["waiting"], again["counts"]["failed"]) == (2, 0)
    assert_problem(change(service, batch_id, "retry-failed"), 409, "not_retryable")


CHANGES: Final = {"cancel", "pause", "resume"}
ENDS: Final[tuple[BatchStatus, ...]] = ("succeeded", "failed", "cancelled")


@pytest.mark.parametrize("ended", ENDS)
@pytest.mark.parametrize("name", sorted(CHANGES))
def test_what_has_ended_cannot_be_changed(service: Service, ended: BatchStatus, name: str) -> None:
    batch_id = service.created_batch("a fox")
    service.worker.end_batch(batch_id, ended)
    before = service.batch(batch_id)

    found = assert_problem(change(service, batch_id, name), 409, "already_ended")

    assert ended in found["detail"]
    assert service.batch(batch_id) == before


def test_only_what_ended_badly_is_retried(service: Service) -> None:
    active, made = service.created_batch("a fox"), service.created_batch("a fox")
    service.worker.end_batch(made, "succeeded")

    for batch_id in (active, made):
        assert_problem(change(service, batch_id, "retry-failed"), 409, "not_retryable")
    assert service.batch(active)["status"] in BATCH_ACTIVE
