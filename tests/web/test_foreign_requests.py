"""Pages of other sites reach neither the page nor its websocket, on a real server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
import websockets

from tests.harness.processes import Process, environment, free_port
from tests.harness.waiting import wait_until

EVIL: Final = "http://evil.example"
SOCKET_IO: Final = "/_nicegui_ws/socket.io/?EIO=4"
PAGES: Final = ("/", "/bulk", "/schedules", "/workflows", "/history", "/docs")
AWAY: Final = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home, port = tmp_path_factory.mktemp("home"), free_port()
    env = environment(
        EASEL_HOME=str(home),
        EASEL_API__PORT=str(port),
        EASEL_ALLOWED_HOSTS="easel.lan",
        EASEL_COMFY__URL=AWAY,
        EASEL_PREFECT__API_URL=f"{AWAY}/api",
        PREFECT_HOME=str(home / "prefect"),
        PREFECT_API_URL=f"{AWAY}/api",
    )
    command = [sys.executable, "-m", "uvicorn", "web.app:create_app", "--factory"]
    command += ["--port", str(port), "--no-access-log", "--timeout-graceful-shutdown", "1"]
    process = Process("page", command, env, home)
    process.start()
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        try:
            wait_until(lambda: answers(client) or not process.is_running, "the page")
            assert process.is_running, process.tail()
            yield client
        finally:
            process.terminate()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("path", [*PAGES, "/favicon.ico", f"{SOCKET_IO}&transport=polling"])
def test_a_foreign_name_is_refused(client: httpx.Client, path: str) -> None:
    refused = client.get(path, headers={"Host": "evil.example"})
    assert (refused.status_code, refused.json()["code"]) == (403, "unknown_host")
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "easel.lan", "easel.lan:8443"])
def test_names_of_this_server_are_answered(client: httpx.Client, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_a_page_may_be_shown_alone_only_and_talks_to_its_server_only(
    client: httpx.Client, path: str
) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "connect-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert not {"http:", "https:", "ws:", "wss:", "*"} & set(policy.replace(";", " ").split())
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_cookie_is_this_ports_own(client: httpx.Client) -> None:
    """A host's cookies are sent to each of its ports: others call theirs `session`."""
    [cookie] = httpx.get(client.base_url, trust_env=False).headers.get_list("set-cookie")
    name, _, rest = cookie.partition("=")
    assert name == f"easel-session-{client.base_url.port}"
    assert "httponly" in rest.lower()
    assert "samesite=lax" in rest.lower()


def test_polling_in_place_of_a_websocket(client: httpx.Client) -> None:
    path = f"{SOCKET_IO}&transport=polling"
    for origin in (EVIL, "null", "http://127.0.0.1:3000"):
        refused = client.get(path, headers={"Origin": origin})
        assert refused.status_code == 403
        assert not [name for name in refused.headers if name.startswith("access-control-")]
        assert client.post(path, headers={"Origin": origin}).status_code == 403
    own = f"http://127.0.0.1:{client.base_url.port}"
    for headers in ({}, {"Origin": own}):
        assert client.get(path, headers=headers).text.startswith('0{"sid"')


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_websocket_of_another_site(client: httpx.Client, headers: dict[str, str]) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await say_hello(client, headers)
    assert refused.value.response.status_code == 403
    assert b'"foreign_origin"' in refused.value.response.body


async def test_its_own_websocket(client: httpx.Client) -> None:
    for headers in ({}, {"Origin": f"http://127.0.0.1:{client.base_url.port}"}):
        assert str(await say_hello(client, headers)).startswith('0{"sid"')


async def say_hello(client: httpx.Client, headers: dict[str, str]) -> str | bytes:
    address = f"ws://127.0.0.1:{client.base_url.port}{SOCKET_IO}&transport=websocket"
    async with websockets.connect(address, additional_headers=headers, proxy=None) as socket:
        return await socket.recv()
