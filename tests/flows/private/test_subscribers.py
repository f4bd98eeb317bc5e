"""Subscribers of Prefect's events hear of them, and the server lets go of those that have left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import uvicorn
from fastapi import FastAPI
from prefect.server.api import events
from prefect.server.events import stream
from prefect.server.events.schemas.events import ReceivedEvent, Resource
from prefect.server.utilities import subscriptions
from prefect.server.utilities.messaging.memory import MemoryMessage
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from flows.prefect.private import subscribers
from tests.harness.processes import free_port
from tests.store.making import wait_until


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Prefect's routes of events, in this process: the URL of the API that has them."""
    app = FastAPI()
    app.include_router(events.router, prefix="/api")
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve())
    try:
        await wait_until(lambda: _is(server.started))
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.should_exit = True
        await task


async def _is(value: bool) -> bool:
    return value


async def happen(name: str) -> None:
    """Let the server have an event of that name."""
    now = datetime.now(UTC)
    event = ReceivedEvent(
        id=uuid4(),
        occurred=now,
        received=now,
        event=name,
        resource=Resource({"prefect.resource.id": "easel.thing.1"}),
    )
    async with stream.distributor() as distribute:
        await distribute(MemoryMessage(event.model_dump_json(), {"event": name}))


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Put back after.
    monkeypatch.setattr(subscriptions, "accept_prefect_socket", subscriptions.accept_prefect_socket)
    monkeypatch.setattr(stream, "events", stream.events)
    subscribers.wait_for_their_end()


def wanted() -> dict[str, object]:
    """Without an end, events until now only."""
    now = datetime.now(UTC)
    occurred = {"since": now.isoformat(), "until": (now + timedelta(days=1)).isoformat()}
    return {"event": {"name": ["easel.thing"]}, "occurred": occurred}


@asynccontextmanager
async def subscribed(url: str) -> AsyncIterator[ClientConnection]:
    """A subscriber that the server knows, as Prefect's client is one."""
    before = len(stream.subscribers)
    address = f"{url.replace('http', 'ws')}/events/out"
    async with connect(address, subprotocols=[Subprotocol("prefect")], proxy=None) as subscriber:
        await subscriber.send(json.dumps({"type": "auth", "token": None}))
        assert json.loads(await subscriber.recv())["type"] == "auth_success"
        await subscriber.send(json.dumps({"type": "filter", "filter": wanted(), "backfill": False}))
        await wait_until(lambda: _is(len(stream.subscribers) == before + 1))
        yield subscriber


async def heard(subscriber: ClientConnection) -> str:
    """The name of the event that it hears next."""
    name: str = json.loads(await subscriber.recv())["event"]["event"]
    return name


def waiting() -> int:
    """How many ends of subscribers are waited for, not looked for."""
    return [task.get_name() for task in asyncio.all_tasks()].count(subscribers.WAITING)


@pytest.mark.usefixtures("changed")
async def test_each_hears_what_it_wants_for_as_long_as_it_is_there() -> None:
    async with asyncio.timeout(60), serving() as url, subscribed(url) as first:
        async with subscribed(url) as second:
            assert waiting() == 2
            for name in ("easel.other", "easel.thing"):
                await happen(name)
            for one in (first, second):
                assert await heard(one) == "easel.thing"
        await wait_until(lambda: _is(len(stream.subscribers) == 1))
        assert waiting() == 1
        await happen("easel.thing")
        assert await heard(first) == "easel.thing"
    await wait_until(lambda: _is(not stream.subscribers))


@pytest.mark.usefixtures("changed")
async def test_one_that_said_more_than_its_filter_is_still_there() -> None:
    async with asyncio.timeout(60), serving() as url, subscribed(url) as one:
        await one.send("is anybody there?")
        for _ in range(2):
            await happen("easel.thing")
            assert await heard(one) == "easel.thing"


@pytest.mark.usefixtures("changed")
async def test_one_that_left_with_a_full_queue_is_let_go() -> None:
    async with asyncio.timeout(60), serving() as url:
        async with subscribed(url) as one:
            for _ in range(stream.SUBSCRIPTION_BACKLOG + 1):
                await happen("easel.thing")
            one.transport.abort()
        await wait_until(lambda: _is(not stream.subscribers))


@pytest.mark.usefixtures("changed")
async def test_a_server_that_stops_does_not_wait_for_them() -> None:
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        async with serving() as url:
            await stack.enter_async_context(subscribed(url))
        assert not stream.subscribers
