"""HEAD on every path that takes GET."""

from __future__ import annotations

import httpx
import pytest

from tests.api.service import BATCHES, HISTORY, SCHEDULES, Service, assert_problem


def _get_and_head(service: Service, path: str) -> tuple[httpx.Response, httpx.Response]:
    return service.get(path), service.client.head(path)


PATHS = (
    *("/healthz", "/readyz", "/metrics", "/docs", "/redoc", "/openapi.json"),
    *(HISTORY, BATCHES, SCHEDULES, "/api/v1/models", "/api/v1/options"),
)


@pytest.mark.parametrize("path", PATHS)
def test_head_says_what_get_says(service: Service, path: str) -> None:
    got, headed = _get_and_head(service, path)

    assert (headed.status_code, headed.content) == (got.status_code, b"")
    assert headed.headers["content-type"] == got.headers["content-type"]
    assert headed.headers["content-length"]


def test_head_of_a_picture_says_its_length(service: Service) -> None:
    task_id = service.created()
    service.worker.finish(task_id)
    (image,) = service.get(service.of(task_id, "result")).json()["images"]

    for url in (image["url"], image["thumbnail_url"], service.of(task_id, "status")):
        got, headed = _get_and_head(service, url)
        assert (headed.status_code, headed.content) == (200, b"")
        assert headed.headers["content-length"] == str(len(got.content))
        assert headed.headers["etag"] == got.headers["etag"]


def test_head_of_a_stream_ends(service: Service) -> None:
    task_id = service.created()

    headed = service.client.head(service.of(task_id, "events"), headers={"Last-Event-ID": "999"})

    assert headed.status_code == 200
    assert headed.headers["content-type"].startswith("text/event-stream")
    assert not service.is_busy or service.get("/healthz").status_code == 200


def test_head_of_nothing_is_not_found(service: Service) -> None:
    assert service.client.head("/api/v1/nix").status_code == 404
    assert service.client.head("/api/v1/generation/create").status_code == 405
    assert_problem(service.get("/api/v1/nix"), 404, "not_found")
