"""What another site's page makes a browser send is refused, on a real socket."""

from __future__ import annotations

import json
import socket
from typing import Final
from uuid import UUID

import pytest

from tests.api.conftest import StartService, until_catalogue
from tests.api.service import CREATE, DELIVERIES, HISTORY, Comfy, Service, assert_problem
from tests.harness.waiting import wait_until

EVIL: Final = "http://evil.example"
LINK: Final = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
PATHS: Final = (
    *("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"),
    *(HISTORY, DELIVERIES, "/nothing"),
)


def raw(service: Service, *lines: str) -> tuple[int, bytes]:
    """Status and body of a request that no HTTP client would send."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
        said = b""
        while part := connection.recv(65_536):
            said += part
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("path", PATHS)
def test_a_foreign_name_reads_nothing(service: Service, path: str) -> None:
    """As a page does that had its own name resolve to this machine."""
    refused = service.get(path, headers={"Host": f"evil.example:{service.port}"})
    found = assert_problem(refused, 403, "unknown_host")
    assert "evil.example" in found["detail"]
    assert "EASEL_ALLOWED_HOSTS" in found["detail"]


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /healthz HTTP/1.1",),
        ("GET /healthz HTTP/1.0",),
        ("GET /healthz HTTP/1.1", "Host: 127.0.0.1", "Host: 127.0.0.1"),
        ("GET /healthz HTTP/1.1", "Host: 127.0.0.1", "host: evil.example"),
        ("GET /healthz HTTP/1.1", "Host: a b"),
    ],
)
def test_the_host_is_said_once(service: Service, lines: tuple[str, ...]) -> None:
    status, body = raw(service, *lines)
    assert status == 400
    assert json.loads(body)["code"] == "bad_request"


def test_an_address_in_the_request_line_does_not_replace_the_host(service: Service) -> None:
    line = f"GET http://127.0.0.1:{service.port}/healthz HTTP/1.1"
    assert raw(service, line, "Host: evil.example")[0] == 403
    assert raw(service, line, "Host: 127.0.0.1")[0] == 200


def test_another_sites_page_changes_nothing(service: Service) -> None:
    task_id = service.created("the victim")
    batch_id = service.created_batch("one", "two")
    for path in (
        service.of(task_id, "cancel"),
        service.of(task_id, "retry"),
        *(f"/api/v1/batches/{batch_id}/{verb}" for verb in ("cancel", "pause", "resume")),
        f"/api/v1/batches/{batch_id}/retry-failed",
        f"{DELIVERIES}/{UUID(int=1)}/redeliver",
    ):
        for headers in (
            {"Origin": EVIL},
            {"Origin": "null"},
            {"Origin": f"http://127.0.0.1:{service.port + 1}"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            assert_problem(service.client.post(path, headers=headers), 403, "foreign_origin")
    for method in ("DELETE", "PATCH", "PUT"):
        refused = service.client.request(
            method, f"/api/v1/generation/{task_id}", headers={"Origin": EVIL}
        )
        assert_problem(refused, 403, "foreign_origin")
    assert service.status(task_id)["status"] == "queued"
    assert service.batch(batch_id)["status"] == "queued"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_form_of_another_site_makes_nothing(service: Service, kind: str | None) -> None:
    before = service.count()
    headers = {"Origin": EVIL, **({"Content-Type": kind} if kind else {})}
    refused = service.client.post(CREATE, content=b'{"prompt": "forged"}', headers=headers)
    assert_problem(refused, 403, "foreign_origin")
    assert service.count() == before


def test_no_answer_may_be_read_by_another_site(service: Service) -> None:
    for path in PATHS:
        for headers in ({"Origin": EVIL}, {}):
            answer = service.get(path, headers=headers)
            assert not [name for name in answer.headers if name.startswith("access-control-")]
    asked = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
    preflight = service.client.request("OPTIONS", CREATE, headers=asked)
    assert_problem(preflight, 403, "foreign_origin")


def test_a_link_on_another_site_leads_here(service: Service) -> None:
    assert service.get("/docs", headers=LINK).status_code == 200
    shown = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert_problem(service.get("/docs", headers=shown), 403, "foreign_origin")
    assert_problem(service.get(f"/api/v1/images/{UUID(int=1)}", headers=shown), 404, "not_found")


def test_own_pages_and_programs_notice_nothing(service: Service) -> None:
    for host in (f"127.0.0.1:{service.port}", f"localhost:{service.port}"):
        task_id = service.created()
        own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        cancelled = service.client.post(service.of(task_id, "cancel"), headers=own)
        assert cancelled.status_code == 202


def test_names_that_are_allowed(start_service: StartService) -> None:
    """A name of this machine, a container's service, a reverse proxy with TLS."""
    service = start_service(
        public_url="https://pictures.example.org/easel", allowed_hosts=("easel.lan",)
    )
    proxied = {"Host": "easel.lan", "Origin": "https://easel.lan", "X-Forwarded-Proto": "https"}
    rewritten = {"Origin": "https://pictures.example.org"}
    for headers in (proxied, rewritten, {"Host": "pictures.example.org"}):
        made = service.client.post(CREATE, json={"prompt": "a", "model": "m"}, headers=headers)
        assert made.status_code == 202, made.text
        assert str(UUID(made.json()["task_id"])) == made.json()["task_id"]
    assert service.get("/healthz", headers={"Host": "other.lan"}).status_code == 403


def test_a_get_changes_nothing(start_service: StartService, comfy: Comfy) -> None:
    """Every address that answers GET, asked as another site's link would ask.

    On a service of its own: in a shared one, what other tests cancelled still leaves the outbox.
    """
    service = start_service(comfy.url)
    until_catalogue(service)
    service.worker.run(service.worker.store.callbacks.add("gone", "https://shop.example/"))
    told = service.created(callback="gone")
    service.worker.run(service.worker.store.callbacks.remove("gone"))
    service.worker.finish(told)  # its event is given up
    [delivery] = service.deliveries()
    wait_until(lambda: service.count("outbox") == 0)
    task_id = service.created()
    batch_id = service.created_batch("one")
    paths = service.get("/openapi.json").json()["paths"]
    before = _tables(service)
    for path, operations in paths.items():
        if "get" not in operations or path.endswith("/events"):
            continue
        for name, known in (
            ("task_id", task_id),
            ("batch_id", batch_id),
            ("delivery_id", delivery["delivery_id"]),
        ):
            path = path.replace(f"{{{name}}}", str(known))  # noqa: PLW2901
        assert service.get(path, headers=LINK).status_code != 403
    assert _tables(service) == before


def _tables(service: Service) -> list[list[tuple[object, ...]]]:
    """Everything but how often Prefect, which is away, was asked."""
    whole = ("generations", "attempts", "batches", "batch_items", "artefacts", "deliveries")
    selects = [*(f"SELECT * FROM {name}" for name in whole), "SELECT count(*) FROM outbox"]
    with service.database() as database:
        return [database.execute(select).fetchall() for select in selects]
