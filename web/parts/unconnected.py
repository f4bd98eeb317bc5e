"""Pages that were loaded but whose browser has not connected (yet): few are kept, for a short time.

Each takes about a megabyte. A browser connects within seconds; one whose page was dropped meanwhile
loads it again by itself. Few pages are built at the same time, since each keeps the event loop busy
for some hundredths of a second: so other requests get in between.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakSet

from nicegui import Client
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.handlers import problem_response
from core.problems import problem

UNCONNECTED_MAX: Final = 24
CONNECTED_WITHIN_S: Final = 30.0
BUILT_AT_ONCE: Final = 2
WAITING_MAX: Final = 200
"""Pages that wait to be built; others are refused, to be loaded again."""
TURN_S: Final = 1.0
"""How long a page counts as being built: one that takes longer waits for a service, and is no work
for this process meanwhile."""
_COLLECT_AFTER: Final = 16
"""Dropped pages after which their memory is collected. Left to the collector, hundreds would pile
up and stop the process for seconds; and each collection looks at the pages that are kept too."""
_OWN: Final = ("/_nicegui", "/static")


class Unconnected:
    """Middleware: builds few pages at a time, and drops the oldest unconnected ones after each."""

    def __init__(self, app: ASGIApp, connected: WeakSet[Client]) -> None:
        self._app = app
        self._connected = connected
        self._turns = _Turns()
        self._under_way = 0
        self._dropped = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on when it is its turn, then drop what is too much."""
        if scope["type"] != "http" or scope["path"].startswith(_OWN):
            await self._app(scope, receive, send)
            return
        if self._turns.waiting >= WAITING_MAX:
            found = problem("not_available", "many pages are being loaded now; try again")
            await problem_response(found, {"Retry-After": "5"})(scope, receive, send)
            return
        async with self._turns.taken() as give_back:

            async def sending(message: Message) -> None:
                give_back()  # it is built; a slow client delays no other page
                await send(message)

            self._under_way += 1
            try:
                await self._app(scope, receive, sending)
            finally:
                self._under_way -= 1
                self._drop()

    def _drop(self) -> None:
        """Drop the oldest; those that are being built are the newest."""
        Client.prune_instances(client_age_threshold=CONNECTED_WITHIN_S)
        # One that was connected before is deleted by NiceGUI after the reconnect timeout.
        waiting = [
            one
            for one in Client.instances.values()
            if not one.has_socket_connection and one not in self._connected
        ]
        for client in waiting[: max(0, len(waiting) - self._under_way - UNCONNECTED_MAX)]:
            client.delete()
            self._dropped += 1
        if self._dropped >= _COLLECT_AFTER:
            self._dropped = 0
            gc.collect()


class _Turns:
    """Whose page is built: first come, first served."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(BUILT_AT_ONCE)
        self.waiting = 0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Callable[[], None]]:
        """Take a turn; what it yields gives it back early."""
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        is_over = False

        def give_back() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                self._free.release()

        timer = asyncio.get_running_loop().call_later(TURN_S, give_back)
        try:
            yield give_back
        finally:
            timer.cancel()
            give_back()
