"""A policy guards everything that answers: routes, mounts, files, documentation, pages, websockets.

Everything is found by walking the applications, so that nothing new can be forgotten.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin
from uuid import UUID

import httpx
import pytest
import websockets
from fastapi import FastAPI
from nicegui import __version__ as nicegui_version
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.app import create_app as create_api
from api.auth import OPEN, Authentication, Policy, Principal, Refusal, install
from api.nothing_here import NothingHere
from core.settings import Settings
from tests.harness.processes import Process, environment, free_port
from tests.harness.waiting import wait_until
from tests.web.guarded import HEADERS, WithKey
from web.app import create_app as create_served
from web.parts.layout import STATIC, STATIC_URL

pytestmark = pytest.mark.xdist_group("guarded")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
SOCKET: Final = "WEBSOCKET"
SOCKET_IO: Final = "/_nicegui_ws/socket.io/"
ANY_ID: Final = str(UUID(int=1))
NOT_WALKED: Final = (
    "/favicon.ico",  # added when NiceGUI starts
    "/_nicegui/client/x/upload/7",  # added with each page that takes files
    "/nothing/here",
    "/api/nothing/here",
    "/healthz/",
    "/healthz/more",
    "//healthz",
    "/HEALTHZ",
    *(f"{STATIC_URL}/{file.name}" for file in STATIC.iterdir()),  # a route with any path
)


class Closed:
    """Refuses every request."""

    async def decide(self, connection: HTTPConnection) -> Refusal:
        return Refusal(f"this test refuses {connection.url.path}")


class Broken:
    """A policy with a bug, or one whose database is away."""

    async def decide(self, connection: HTTPConnection) -> Principal:
        raise RuntimeError(f"the keys for {connection.url.path} cannot be read")


@dataclass(frozen=True)
class Address:
    method: str
    path: str


def addresses(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[Address]:
    """Everything that these routes answer to, in what is mounted below them too."""
    for route in routes:
        if isinstance(route, Mount):
            yield from under(route, prefix + route.path)
        elif isinstance(route, WebSocketRoute):
            yield Address(SOCKET, prefix + filled(route.path))
        elif isinstance(route, Route):
            for method in sorted(route.methods or METHODS):
                yield Address(method, prefix + filled(route.path))
        elif isinstance(route, NothingHere):
            for method in METHODS:
                yield Address(method, f"{prefix}/nothing-here")
        else:
            pytest.fail(f"the walk does not know what is in a {type(route).__name__}")


def under(mount: Mount, path: str) -> Iterator[Address]:
    for method in (*METHODS, SOCKET):
        yield Address(method, f"{path}/")
    if isinstance(mount.app, StaticFiles):
        (folder,) = mount.app.all_directories
        for file in Path(folder).rglob("*"):
            if file.is_file():
                yield Address("GET", f"{path}/{file.relative_to(folder).as_posix()}")
    yield from addresses(mount.routes, path)


def filled(path: str) -> str:
    return re.sub(r"{[^}]+}", ANY_ID, path)


def everything(app: FastAPI) -> list[Address]:
    probes = (Address(method, path) for path in NOT_WALKED for method in ("GET", "POST", SOCKET))
    found = {*addresses(app.routes), *probes}
    return sorted(found, key=lambda address: (address.path, address.method))


def is_open(address: Address) -> bool:
    return address.path in {path for path, _ in OPEN} and address.method != SOCKET


async def knock(app: ASGIApp, address: Address, *, extensions: dict[str, Any]) -> Message:
    """The first message of the application about a websocket that has not been accepted yet."""
    said: list[Message] = []

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": address.path,
        "raw_path": address.path.encode(),
        "query_string": b"EIO=4&transport=websocket",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "subprotocols": [],
        "state": {},
        "extensions": extensions,
    }
    await app(scope, receive, send)
    return said[0]


def client_of(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def assert_refused(response: httpx.Response, address: Address) -> None:
    assert response.status_code == 401, address
    assert response.headers["content-type"] == "application/problem+json", address
    assert response.headers["www-authenticate"] == "Bearer", address
    assert response.headers["cache-control"] == "no-store", address
    assert "set-cookie" not in response.headers, address
    if address.method != "HEAD":
        assert response.json()["code"] == "unauthorized", address
        assert response.json()["status"] == 401, address


def without_page(settings: Settings, policy: Policy) -> FastAPI:
    return create_api(settings, policy)


def with_page(settings: Settings, policy: Policy) -> FastAPI:
    return create_served(settings, policy)


@pytest.mark.parametrize("make", [without_page, with_page])
async def test_everything_is_refused(
    settings: Settings, make: Callable[[Settings, Policy], FastAPI]
) -> None:
    app = make(settings, Closed())
    asked = everything(app)

    async with client_of(app) as client:
        for address in asked:
            if address.method == SOCKET:
                first = await knock(app, address, extensions={})
                assert first["type"] == "websocket.close", address
                first = await knock(app, address, extensions={"websocket.http.response": {}})
                assert first["type"] == "websocket.http.response.start", address
                assert first["status"] == 401, address
            elif not is_open(address):
                assert_refused(await client.request(address.method, address.path), address)


@pytest.mark.parametrize("make", [without_page, with_page])
async def test_what_is_open_is_answered(
    settings: Settings, make: Callable[[Settings, Policy], FastAPI]
) -> None:
    assert [path for path, _ in OPEN] == ["/healthz"]
    async with client_of(make(settings, Closed())) as client:
        for path, reason in OPEN:
            assert (await client.get(path)).status_code == 200
            assert reason


def test_the_walk_comes_everywhere(settings: Settings) -> None:
    found = everything(create_served(settings, Closed()))

    static = f"/_nicegui/{nicegui_version}/static"
    for address in (
        Address("POST", "/api/v1/generation/create"),
        Address("GET", f"/api/v1/generation/{ANY_ID}/events"),
        Address("GET", f"/api/v1/images/{ANY_ID}/thumbnail"),
        Address("GET", f"/api/v1/batches/{ANY_ID}/results.zip"),
        Address("PATCH", f"/api/v1/schedules/{ANY_ID}"),
        Address("GET", "/api/v1/deliveries"),
        Address("POST", f"/api/v1/deliveries/{ANY_ID}/redeliver"),
        Address("GET", "/healthz"),
        Address("GET", "/readyz"),
        Address("GET", "/metrics"),
        Address("GET", "/docs"),
        Address("GET", "/docs/oauth2-redirect"),
        Address("GET", "/openapi.json"),
        Address("GET", "/static-offline-docs/swagger-ui-bundle.js"),
        Address("GET", "/static/easel.css"),
        Address("GET", f"{static}/nicegui.js"),
        Address("GET", f"/_nicegui/{nicegui_version}/components/{ANY_ID}"),
        Address("POST", "/_nicegui_ws/"),
        Address(SOCKET, "/_nicegui_ws/"),
        Address("GET", "/"),
        Address("GET", f"/g/{ANY_ID}"),
        Address("GET", "/bulk"),
        Address("GET", f"/b/{ANY_ID}"),
        Address("GET", "/schedules"),
        Address("GET", "/workflows"),
        Address("GET", "/history"),
    ):
        assert address in found


def test_without_a_policy_there_is_no_layer(settings: Settings) -> None:
    for app in (create_api(settings), create_served(settings)):
        assert "Authentication" not in repr(app.user_middleware)
        install(app, Closed())
        assert "Authentication" in repr(app.user_middleware)


async def test_a_policy_that_breaks_admits_nobody(settings: Settings) -> None:
    app = create_served(settings, Broken())
    async with client_of(app) as client:
        assert (await client.get("/docs")).status_code == 500
    with pytest.raises(RuntimeError, match="cannot be read"):
        await knock(app, Address(SOCKET, SOCKET_IO), extensions={})


async def test_routes_read_who_asks() -> None:
    async def who(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(scope["user"].name)(scope, receive, send)

    transport = httpx.ASGITransport(Authentication(who, WithKey()))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/", headers=HEADERS)).text == "tester"
        assert (await client.get("/")).status_code == 401


# --- on a real server, with NiceGUI started


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home, port = tmp_path_factory.mktemp("home"), free_port()
    away = "http://127.0.0.1:9"
    env = environment(
        EASEL_HOME=str(home),
        EASEL_COMFY__URL=away,
        EASEL_PREFECT__API_URL=f"{away}/api",
        PREFECT_HOME=str(home / "prefect"),
        PREFECT_API_URL=f"{away}/api",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
    )
    command = [sys.executable, "-m", "uvicorn", "tests.web.guarded:create_app", "--factory"]
    command += ["--port", str(port), "--no-access-log", "--timeout-graceful-shutdown", "1"]
    process = Process("guarded", command, env, home)
    process.start()
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url) or not process.is_running, "the guarded application")
        assert process.is_running, process.tail()
        yield url
    finally:
        process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=10, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client


class _Sources(HTMLParser):
    """Everything that a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


@pytest.mark.parametrize("page", ["/", "/bulk", "/schedules", "/workflows", "/history", "/docs"])
def test_a_page_and_all_it_loads_need_the_key(client: httpx.Client, page: str) -> None:
    shown = client.get(page, headers=HEADERS)
    assert shown.status_code == 200, shown.text
    sources = _Sources()
    sources.feed(shown.text)
    loaded = {urljoin(page, source) for source in sources.found} - {"data:,"}
    assert len([path for path in loaded if path.startswith("/")]) == len(loaded) >= 2

    for path in (page, *loaded):
        assert_refused(client.get(path), Address("GET", path))
        assert client.get(path, headers=HEADERS).status_code == 200, path


@pytest.mark.parametrize("path", ["/favicon.ico", "/openapi.json", "/metrics", "/api/v1/batches"])
def test_what_no_page_loads_needs_the_key_too(client: httpx.Client, path: str) -> None:
    assert_refused(client.get(path), Address("GET", path))
    assert client.get(path, headers=HEADERS).status_code == 200


@pytest.mark.parametrize("path", [SOCKET_IO, "/_nicegui_ws/", "/", "/api/v1/batches", "/healthz"])
async def test_a_websocket_is_refused_before_it_is_accepted(url: str, path: str) -> None:
    address = f"{url.replace('http', 'ws')}{path}?EIO=4&transport=websocket"

    with pytest.raises(websockets.InvalidStatus) as refused:
        await _say_hello(address)

    assert refused.value.response.status_code == 401
    assert b'"unauthorized"' in refused.value.response.body


async def test_the_pages_websocket_opens_with_the_key(url: str) -> None:
    address = f"{url.replace('http', 'ws')}{SOCKET_IO}?EIO=4&transport=websocket"
    greeting = await _say_hello(address, HEADERS)
    assert str(greeting).startswith('0{"sid"')


def test_its_substitute_without_websockets_needs_the_key_too(client: httpx.Client) -> None:
    polled = f"{SOCKET_IO}?EIO=4&transport=polling"
    assert_refused(client.get(polled), Address("GET", polled))
    assert client.get(polled, headers=HEADERS).text.startswith('0{"sid"')


async def _say_hello(address: str, headers: dict[str, str] | None = None) -> str | bytes:
    async with websockets.connect(address, additional_headers=headers, proxy=None) as socket:
        return await socket.recv()
