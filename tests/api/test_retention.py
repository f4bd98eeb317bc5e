"""Pictures that were removed because of their age: what clients read of them afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.api.service import HISTORY, Service, assert_problem


def expire(service: Service, task_id: UUID, days: float) -> None:
    """Let the generation be so old, and its pictures go."""
    ended = datetime.now(UTC) - timedelta(days=days)
    with service.database() as connection:
        connection.execute(
            "UPDATE generations SET finished_at = ? WHERE id = ?",
            (f"{ended:%Y-%m-%d %H:%M:%S.%f}", task_id.hex),
        )
        connection.commit()
    store = service.worker.store
    older_than = datetime.now(UTC) - timedelta(days=days - 1)
    assert service.worker.run(store.retention.expire_pictures(older_than)) == 1


def test_the_result_says_when_and_why(service: Service) -> None:
    task_id = service.created()
    [image] = service.worker.finish(task_id)
    before = service.status(task_id)
    assert before["expired_at"] is None

    expire(service, task_id, 30)

    found = assert_problem(service.get(service.of(task_id, "result")), 410, "pictures_expired")
    assert "EASEL_RETENTION__PICTURES_DAYS" in found["detail"]
    assert "30.0 days" in found["detail"]
    after = service.status(task_id)
    assert f"{datetime.fromisoformat(after['expired_at']):%Y-%m-%d}" in found["detail"]
    assert (after["status"], after["sequence"]) == ("succeeded", before["sequence"] + 1)
    assert after["request"] == before["request"]
    assert_problem(service.get(f"/api/v1/images/{image.id}"), 404, "not_found")
    assert_problem(service.get(f"/api/v1/images/{image.id}/thumbnail"), 404, "not_found")


def test_the_history_shows_it_without_pictures(service: Service) -> None:
    task_id, other = service.created(), service.created()
    service.worker.finish(task_id)
    service.worker.finish(other)
    expire(service, task_id, 40)

    items = {item["task_id"]: item for item in service.get(HISTORY).json()["items"]}

    assert items[str(task_id)]["images"] == []
    assert items[str(task_id)]["expired_at"] is not None
    assert len(items[str(other)]["images"]) == 1
    assert items[str(other)]["expired_at"] is None


def test_it_can_still_be_deleted(service: Service) -> None:
    task_id = service.created()
    service.worker.finish(task_id)
    expire(service, task_id, 30)

    assert service.client.delete(f"/api/v1/generation/{task_id}").status_code == 204
    assert_problem(service.get(service.of(task_id, "result")), 410, "deleted")


def test_a_result_that_is_there_stays(service: Service) -> None:
    task_id = service.created()
    service.worker.finish(task_id)

    assert len(service.get(service.of(task_id, "result")).json()["images"]) == 1
