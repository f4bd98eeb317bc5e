"""Pages without a browser, and messages that no browser of ours sends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from weakref import WeakSet

import httpx
import pytest
from nicegui import Client, core, ui
from nicegui.testing import User

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
