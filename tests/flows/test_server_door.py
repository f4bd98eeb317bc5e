"""Pages of other sites neither read Easel's Prefect server nor change anything in it."""

from __future__ import annotations

from typing import Final

import httpx
import pytest
import websockets

from tests.flows.prefect_server import Server

pytestmark = pytest.mark.timeout(300)

EVIL: Final = "http://evil.example"
EVENTS: Final = "/events/out"


def headers_of_cors(answer: httpx.Response) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/health", "/admin/version", "/flow_runs/filter", "/../"])
def test_a_foreign_name_reads_nothing(server: Server, path: str) -> None:
    url = str(server.http.base_url.join(path)) if path == "/../" else path
    for method in ("GET", "POST"):
        refused = server.http.request(method, url, headers={"Host": "evil.example"}, json={})
        assert refused.status_code == 403
        assert refused.json()["code"] == "unknown_host"
        assert "EASEL_ALLOWED_HOSTS" in refused.json()["detail"]


def test_another_sites_page_neither_reads_nor_changes(server: Server) -> None:
    before = server.select("SELECT count(*) FROM flow")
    for method, path, body in (
        ("POST", "/flow_runs/filter", {}),
        ("POST", "/artifacts/filter", {}),
        ("POST", "/flows/", {"name": "forged"}),
        ("GET", "/admin/version", None),
    ):
        refused = server.http.request(method, path, json=body, headers={"Origin": EVIL})
        assert (refused.status_code, headers_of_cors(refused)) == (403, [])
    form = {"Sec-Fetch-Site": "cross-site"}
    assert server.http.post("/flows/", json={"name": "forged"}, headers=form).status_code == 403
    asked = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
    preflight = server.http.request("OPTIONS", "/flow_runs/filter", headers=asked)
    assert (preflight.status_code, headers_of_cors(preflight)) == (403, [])
    assert server.select("SELECT count(*) FROM flow") == before


def test_its_own_ui_and_programs_notice_nothing(server: Server) -> None:
    url = server.http.base_url
    for host in (f"127.0.0.1:{url.port}", f"localhost:{url.port}"):
        own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert server.http.post("/flow_runs/filter", json={}, headers=own).status_code == 200
    assert server.http.post("/flow_runs/filter", json={}).status_code == 200


def test_no_page_shows_its_ui_in_a_frame(server: Server) -> None:
    page = httpx.get(server.http.base_url.join("/"), follow_redirects=True, trust_env=False)
    assert page.status_code == 200
    assert "<html" in page.text
    assert page.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert page.headers["x-frame-options"] == "DENY"


async def test_its_websockets_open_to_its_own_pages_only(server: Server) -> None:
    url = server.http.base_url
    address = f"ws://127.0.0.1:{url.port}/api{EVENTS}"
    for headers in ({"Origin": EVIL}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await _open(address, headers)
        assert refused.value.response.status_code == 403
    for headers in ({}, {"Origin": f"http://127.0.0.1:{url.port}"}):
        await _open(address, headers)


async def _open(address: str, headers: dict[str, str]) -> None:
    async with websockets.connect(
        address,
        additional_headers=headers,
        proxy=None,
        subprotocols=[websockets.Subprotocol("prefect")],
    ):
        pass
