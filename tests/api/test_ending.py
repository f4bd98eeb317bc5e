"""Cancel, retry, delete, and the attempts they leave behind."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from store.values import Preview
from tests.api.service import HISTORY, Service, assert_problem, png


def _cancel(service: Service, task_id: UUID) -> str:
    response = service.client.post(service.of(task_id, "cancel"))
    assert response.status_code == 202, response.text
    assert response.json()["task_id"] == str(task_id)
    status: str = response.json()["status"]
    return status


def test_a_queued_one_is_cancelled_at_once(service: Service) -> None:
    task_id = service.created()

    assert _cancel(service, task_id) == "cancelled"
    assert service.status(task_id)["finished_at"] is not None


def test_a_running_one_is_asked_to_end(service: Service) -> None:
    task_id = service.created()
    claim = service.worker.start(task_id)

    assert _cancel(service, task_id) == "cancelling"
    assert _cancel(service, task_id) == "cancelling"
    service.worker.cancel(claim)
    assert service.status(task_id)["status"] == "cancelled"


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_what_has_ended_cannot_be_cancelled(service: Service, end: str) -> None:
    task_id = _ended(service, end)
    before = service.status(task_id)

    assert_problem(service.client.post(service.of(task_id, "cancel")), 409, "already_ended")
    assert service.status(task_id) == before


def _ended(service: Service, end: str) -> UUID:
    task_id = service.created()
    if end == "succeeded":
        service.worker.finish(task_id)
    elif end == "failed":
        service.worker.fail(service.worker.start(task_id))
    else:
        _cancel(service, task_id)
    assert service.status(task_id)["status"] == end
    return task_id


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_retry_is_a_new_attempt_at_the_same(service: Service, end: str) -> None:
    task_id = _ended(service, end)
    before = service.status(task_id)
    response = service.client.post(service.of(task_id, "retry"))

    assert response.status_code == 202
    document = response.json()
    assert document["task_id"] == str(task_id)
    assert document["request"] == before["request"]
    assert (document["status"], document["attempt"]) == ("queued", 2)
    assert document["sequence"] > before["sequence"]
    assert document["error"] is document["finished_at"] is document["progress"] is None
    (image,) = service.worker.finish(task_id)
    result = service.get(service.of(task_id, "result")).json()
    assert [picture["image_id"] for picture in result["images"]] == [str(image.id)]


def test_only_what_failed_or_was_cancelled_can_be_retried(service: Service) -> None:
    queued, running = service.created(), service.created()
    service.worker.start(running)
    for task_id in (queued, running, _ended(service, "succeeded")):
        before = service.status(task_id)
        assert_problem(service.client.post(service.of(task_id, "retry")), 409, "not_retryable")
        assert service.status(task_id)["attempt"] == before["attempt"] == 1


def test_every_attempt_is_told(service: Service) -> None:
    task_id = _ended(service, "failed")
    service.client.post(service.of(task_id, "retry"))
    service.worker.finish(task_id)

    attempts = service.get(service.of(task_id, "attempts")).json()["attempts"]
    first, second = attempts
    assert [attempt["number"] for attempt in attempts] == [1, 2]
    assert [attempt["outcome"] for attempt in attempts] == ["failed", "succeeded"]
    assert first["error"]["code"] == "node_failed"
    assert second["error"] is None
    assert first["prompt_id"] != second["prompt_id"]
    for attempt in attempts:
        assert attempt["worker"] == "worker-1"
        assert attempt["flow_run_id"] in attempt["flow_run_url"]
        assert attempt["created_at"] <= attempt["started_at"] <= attempt["ended_at"]


def test_an_attempt_that_nobody_took_is_bare(service: Service) -> None:
    (attempt,) = service.get(service.of(service.created(), "attempts")).json()["attempts"]

    for name in ("flow_run_id", "flow_run_url", "worker", "started_at", "ended_at", "outcome"):
        assert attempt[name] is None


def _files(service: Service, task_id: UUID) -> list[Path]:
    return [
        path for path in Path(service.images_folder).rglob(f"*{task_id}*/**/*") if path.is_file()
    ]


def test_delete_removes_everything_for_good(service: Service) -> None:
    task_id = service.created("a secret zx81canary")
    service.worker.finish(task_id, png(), png(color="red"))
    images = service.get(service.of(task_id, "result")).json()["images"]
    assert len(_files(service, task_id)) == 4

    for _ in range(2):
        response = service.client.delete(f"/api/v1/generation/{task_id}")
        assert (response.status_code, response.content) == (204, b"")
    for what in ("status", "result", "attempts", "events", "preview"):
        assert_problem(service.get(service.of(task_id, what)), 410, "deleted")
    for what in ("cancel", "retry"):
        assert_problem(service.client.post(service.of(task_id, what)), 410, "deleted")
    for image in images:
        assert_problem(service.get(image["url"]), 404, "not_found")
        assert_problem(service.get(image["thumbnail_url"]), 404, "not_found")
    assert _files(service, task_id) == []
    assert service.get(HISTORY, params={"q": "a secret zx81canary"}).json()["items"] == []
    with service.database() as connection:
        assert "zx81canary" not in "\n".join(connection.iterdump())


def test_a_deleted_one_is_cancelled_first(service: Service) -> None:
    queued, running = service.created(), service.created()
    claim = service.worker.start(running)
    preview = Preview(1, "image/jpeg", b"seen so far")
    service.worker.progress(claim, 50, preview=preview)

    for task_id in (queued, running):
        assert service.client.delete(f"/api/v1/generation/{task_id}").status_code == 204
        assert_problem(service.get(service.of(task_id, "status")), 410, "deleted")
        assert_problem(service.get(service.of(task_id, "preview")), 410, "deleted")
    assert service.worker.is_fenced_out(claim)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_what_ended_badly_can_be_deleted(service: Service, end: str) -> None:
    task_id = _ended(service, end)
    assert service.client.delete(f"/api/v1/generation/{task_id}").status_code == 204
    assert_problem(service.get(service.of(task_id, "result")), 410, "deleted")
