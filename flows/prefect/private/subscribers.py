"""Subscribers of the events of Prefect's server, whose end the server is told of.

Imported in Easel's own server process only. Prefect 3.9.1 looks each second whether a subscriber's
websocket is still there, and waits 0.1 s for it; each of Easel's workers has two.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable
from contextvars import ContextVar
from typing import Any, Final

from prefect.server.events import stream
from prefect.server.events.filters import EventFilter
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.utilities import subscriptions
from starlette.websockets import WebSocket

WAITING: Final = "waiting for a subscriber's end"
"""The name of the task that does."""
_websocket: ContextVar[WebSocket | None] = ContextVar("_websocket", default=None)
"""Of the subscriber that is answered."""


def wait_for_their_end() -> None:
    """Let the server that is started in this process wait for it instead of looking."""
    accept = subscriptions.accept_prefect_socket
    events = stream.events

    async def accept_and_note(websocket: WebSocket, **how: Any) -> WebSocket | None:
        accepted = await accept(websocket, **how)
        _websocket.set(accepted)
        return accepted

    @contextlib.asynccontextmanager
    async def events_until_the_end(
        filter: EventFilter,  # noqa: A002 - Prefect's name
    ) -> AsyncGenerator[AsyncIterable[ReceivedEvent | None], None]:
        websocket = _websocket.get()
        told = events(filter) if websocket is None else _until_the_end(websocket, filter)
        async with told as found:
            yield found

    subscriptions.accept_prefect_socket = accept_and_note
    stream.events = events_until_the_end


@contextlib.asynccontextmanager
async def _until_the_end(
    websocket: WebSocket, wanted: EventFilter
) -> AsyncGenerator[AsyncIterable[ReceivedEvent | None], None]:
    """Yields the wanted events, and None at the websocket's end: then Prefect looks at it."""
    async with stream.subscribed(wanted) as subscribed:
        queue: asyncio.Queue[Any] = subscribed

        def tell(_ended: asyncio.Task[None]) -> None:
            # If it is full, sending the next one fails, which ends it too.
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)

        async def consume() -> AsyncGenerator[ReceivedEvent | None, None]:
            while True:
                yield await queue.get()

        ended = asyncio.create_task(_end_of(websocket), name=WAITING)
        ended.add_done_callback(tell)
        try:
            yield consume()
        finally:
            ended.cancel()


async def _end_of(websocket: WebSocket) -> None:
    """Return when it has ended. What a subscriber says after its filter means nothing."""
    with contextlib.suppress(RuntimeError):  # it had ended before
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
