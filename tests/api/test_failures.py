"""Our own faults: what clients see of them is nothing but where to look."""

from __future__ import annotations

import logging
import shutil

import pytest

from tests.api.service import HISTORY, Service, assert_problem


def test_a_bug_tells_nothing_but_its_id(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    task_id = service.created("a zx81canary")
    with service.database() as connection:
        broken = ('{"broken": zx81canary', task_id.hex)
        connection.execute("UPDATE generations SET progress = ? WHERE id = ?", broken)
    with caplog.at_level(logging.ERROR):
        response = service.get(service.of(task_id, "status"))

    found = assert_problem(response, 500, "internal_error")
    for secret in ("zx81canary", "Traceback", "JSONDecodeError", ".py", "sqlalchemy"):
        assert secret not in response.text
    assert found["request_id"] in caplog.text
    assert response.headers["connection"] == "close"
    # Mended, so that the others' history is whole.
    with service.database() as connection:
        connection.execute("UPDATE generations SET progress = NULL WHERE id = ?", (task_id.hex,))
    assert service.get(HISTORY).status_code == 200


def test_a_lost_file_is_not_here_now(service: Service) -> None:
    task_id = service.created()
    service.worker.finish(task_id)
    (image,) = service.get(service.of(task_id, "result")).json()["images"]
    shutil.rmtree(service.images_folder)

    response = service.get(image["url"])
    assert_problem(response, 503, "not_available")
    assert response.headers["retry-after"]
    assert service.images_folder not in response.text
    assert service.client.delete(f"/api/v1/generation/{task_id}").status_code == 204
