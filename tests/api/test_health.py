"""Alive and ready: each part by its name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.api.conftest import StartService
from tests.api.service import Comfy, Service, assert_problem
from tests.harness.waiting import wait_until


class _Prefect(BaseHTTPRequestHandler):
    """As much of Prefect as says that it is well; it has no deployment."""

    def do_GET(self) -> None:
        healthy = self.path == "/api/health"
        body = b"true" if healthy else b'{"detail": "not found"}'
        self.send_response(200 if healthy else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def prefect_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Prefect) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
        server.shutdown()
        thread.join()


def _parts(response: httpx.Response) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in response.json()["parts"]}


def test_alive(service: Service) -> None:
    response = service.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_not_ready_names_what_is_missing(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url)
    response = service.get("/readyz")

    assert response.status_code == 503
    assert response.json()["ready"] is False
    parts = _parts(response)
    assert {name: part["ok"] for name, part in parts.items()} == {
        "store": True,
        "disk": True,
        "prefect": False,
        "worker": False,
    }
    assert all(part["detail"] for part in parts.values())


def test_ready_when_all_is_there(
    start_service: StartService, comfy: Comfy, prefect_url: str
) -> None:
    service = start_service(comfy.url, prefect_url)
    service.worker.appear(comfy_reachable=True)
    wait_until(lambda: service.get("/readyz").status_code == 200)

    document = service.get("/readyz").json()
    assert document["ready"] is True
    names = [part["name"] for part in document["parts"] if part["ok"]]
    assert names == ["store", "disk", "prefect", "worker", "comfyui"]
    service.worker.appear(comfy_reachable=False)
    wait_until(lambda: not _parts(service.get("/readyz"))["comfyui"]["ok"])
    assert service.get("/readyz").status_code == 503
    service.worker.leave()
    wait_until(lambda: not _parts(service.get("/readyz"))["worker"]["ok"])


def test_a_worker_whose_clock_is_behind_is_running(
    start_service: StartService, comfy: Comfy
) -> None:
    """Its lease is renewed; when its clock says so is of no matter."""
    service = start_service(comfy.url)
    with service.database() as connection:
        connection.execute("INSERT INTO leases VALUES ('worker gpu-1', ?, 0, 20)", ["07" * 16])
        connection.execute(
            "INSERT INTO workers (name, comfy_url, comfy_reachable, started_at, seen_at, holder) "
            "VALUES ('gpu-1', ?, 1, '2020-01-01 00:00:00', '2020-01-01 00:00:00', ?)",
            [comfy.url, "07" * 16],
        )
    assert not _parts(service.get("/readyz"))["worker"]["ok"]

    def is_running() -> bool:
        with service.database() as connection:
            connection.execute("UPDATE leases SET beat = beat + 1 WHERE name = 'worker gpu-1'")
        return bool(_parts(service.get("/readyz"))["worker"]["ok"])

    wait_until(is_running)
    with service.database() as connection:
        connection.execute("DELETE FROM leases WHERE name = 'worker gpu-1'")
    wait_until(lambda: not _parts(service.get("/readyz"))["worker"]["ok"])


def test_a_store_that_does_not_answer(start_service: StartService) -> None:
    service = start_service()
    with service.database() as connection:
        connection.execute("ALTER TABLE outbox RENAME TO elsewhere")

    response = service.get("/readyz")
    assert response.status_code == 503
    assert _parts(response)["store"]["ok"] is False
    assert service.get("/healthz").status_code == 200
    body = {"prompt": "a zx81canary", "model": "some.safetensors"}
    refused = service.client.post("/api/v1/generation/create", json=body)
    assert_problem(refused, 503, "not_available")
    assert int(refused.headers["retry-after"]) >= 1
    assert "zx81canary" not in refused.text
    assert service.count() == 0
    with service.database() as connection:
        connection.execute("ALTER TABLE elsewhere RENAME TO outbox")
    assert service.create(model="some.safetensors")["status"] == "queued"
