"""Pages without a browser, and messages that no browser of ours sends."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakSet, ref

import httpx
import pytest
from nicegui import Client, core, ui
from nicegui.testing import User
from starlette.types import Message, Receive, Scope, Send

from tests.harness.waiting import PATIENCE_S
from web.parts import socket_events, unconnected
from web.parts.unconnected import Unconnected


async def test_of_pages_that_never_connect_the_newest_stay(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unconnected, "UNCONNECTED_MAX", 3)
    await user.open("/")
    open_page, connected = user.client, WeakSet[Client]()
    assert open_page is not None
    connected.add(open_page)
    transport = httpx.ASGITransport(Unconnected(core.app, connected))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for _ in range(6):
            assert (await client.get("/history")).status_code == 200
        before = list(Client.instances)
        assert (await client.get("/history")).status_code == 200

    after = list(Client.instances)
    assert len(after) == 1 + 3
    assert after[0] == open_page.id
    assert set(before[-2:]) < set(after)


@pytest.mark.parametrize("path", ["/", "/history", "/bulk", "/schedules", "/workflows"])
async def test_most_of_a_deleted_page_is_freed_without_the_collector(user: User, path: str) -> None:
    await user.open("/")
    before = set(Client.instances)
    transport = httpx.ASGITransport(core.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get(path)).status_code == 200
    [(_, page)] = [one for one in Client.instances.items() if one[0] not in before]
    props = [ref(element.props) for element in page.elements.values()]
    assert len(props) > 20

    gc.disable()
    try:
        page.delete()
        await settled()
        left = sum(one() is not None for one in props)
    finally:
        gc.enable()
    assert left < len(props) / 2


class SlowPages:
    """An application whose pages are built, and then sent, when it is told so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.beginnings = asyncio.Queue[str]()
        self.built, self.sent = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        self.begun.append(scope["path"])
        self.beginnings.put_nowait(scope["path"])
        await self.built.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await self.sent.wait()
        await send({"type": "http.response.body", "body": b"a page"})


class Visits:
    """Requests for pages of an application behind the middleware, each in a task."""

    def __init__(self, pages: SlowPages) -> None:
        self.middleware = Unconnected(pages, WeakSet())
        self.tasks: list[asyncio.Task[list[Message]]] = []

    def begin(self, *paths: str) -> None:
        self.tasks += [asyncio.create_task(self.visit(path)) for path in paths]

    async def visit(self, path: str) -> list[Message]:
        said: list[Message] = []

        async def send(message: Message) -> None:
            said.append(message)

        async def receive() -> Message:
            raise AssertionError("a page reads no body")

        await self.middleware({"type": "http", "method": "GET", "path": path}, receive, send)
        return said


FOREVER_S: Final = 3600.0
PATHS: Final = ("/1", "/2", "/3", "/4")


@asynccontextmanager
async def slow_pages() -> AsyncIterator[tuple[SlowPages, Visits]]:
    pages = SlowPages()
    visits = Visits(pages)
    yield pages, visits
    pages.built.set()
    pages.sent.set()
    for said in await asyncio.gather(*visits.tasks):
        assert said[0]["status"] == 200


async def settled() -> None:
    """Every task has gone on as far as it can by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_few_pages_are_built_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unconnected, "TURN_S", FOREVER_S)
    async with slow_pages() as (pages, visits):
        visits.begin(*PATHS)
        await settled()
        assert pages.begun == ["/1", "/2"]

        pages.built.set()  # nothing of them has been taken by their clients yet
        await settled()
        assert pages.begun == [*PATHS]


async def test_a_page_that_waits_for_a_service_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unconnected, "TURN_S", 0)
    async with slow_pages() as (pages, visits):
        visits.begin(*PATHS)
        async with asyncio.timeout(PATIENCE_S):
            assert [await pages.beginnings.get() for _ in PATHS] == [*PATHS]


async def test_of_very_many_pages_some_are_to_be_loaded_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unconnected, "WAITING_MAX", 2)
    monkeypatch.setattr(unconnected, "TURN_S", FOREVER_S)
    async with slow_pages() as (pages, visits):
        visits.begin(*PATHS)
        await settled()

        start, _ = await visits.visit("/5")
        assert start["status"] == 503
        assert (b"retry-after", b"5") in start["headers"]

    assert pages.begun == [*PATHS]
    assert (await visits.visit("/6"))[0]["status"] == 200


async def test_a_page_that_is_given_up_leaves_its_turn() -> None:
    async with slow_pages() as (pages, visits):
        for path in PATHS:
            task = asyncio.create_task(visits.visit(path))
            await settled()
            task.cancel()
            await asyncio.wait([task])
        assert pages.begun == [*PATHS]


@pytest.fixture
def socket() -> Iterator[None]:
    """NiceGUI's own handlers come back at the end."""
    handlers = core.sio.handlers["/"]
    before = dict(handlers)
    socket_events.guard(core.sio)
    yield
    handlers.clear()
    handlers.update(before)


@pytest.mark.parametrize("name", ["event", "javascript_response", "ack"])
@pytest.mark.parametrize("message", [None, 7, "text", [], {}, {"client_id": []}])
def test_a_malformed_message_is_ignored(
    socket: None, name: str, message: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        core.sio.handlers["/"][name]("a socket", message)
        core.sio.handlers["/"][name]("a socket")
    assert not caplog.records


async def test_a_browser_writes_nothing_into_the_log(
    user: User, socket: None, caplog: pytest.LogCaptureFixture
) -> None:
    await user.open("/")
    assert user.client is not None
    said = {"client_id": user.client.id, "level": "error", "message": "\x1b[31mforged\nline"}

    with caplog.at_level(logging.DEBUG):
        core.sio.handlers["/"]["log"]("a socket", said)
    assert "forged" not in caplog.text


async def test_an_event_of_the_page_comes_through(user: User, socket: None) -> None:
    await user.open("/")
    assert user.client is not None
    pressed = []
    with user.client:
        button = ui.button("press", on_click=lambda: pressed.append(1))
    (listener,) = button._event_listeners.values()
    message = {"id": button.id, "client_id": user.client.id, "listener_id": listener.id, "args": []}
    core.sio.handlers["/"]["event"]("a socket", message)
    assert pressed == [1]
