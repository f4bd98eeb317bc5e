"""Pages that were loaded but whose browser has not connected (yet): few are kept, for a short time.

Each takes about a megabyte. A browser connects within seconds; one whose page was dropped meanwhile
loads it again by itself.
"""

from __future__ import annotations

import gc
from typing import Final
from weakref import WeakSet

from nicegui import Client
from starlette.types import ASGIApp, Receive, Scope, Send

UNCONNECTED_MAX: Final = 64
CONNECTED_WITHIN_S: Final = 30.0
_COLLECT_AFTER: Final = 64
"""Dropped pages after which their memory is collected: their elements refer to each other."""
_OWN: Final = ("/_nicegui", "/static")


class Unconnected:
    """Middleware: drops the oldest unconnected pages when another one was built."""

    def __init__(self, app: ASGIApp, connected: WeakSet[Client]) -> None:
        self._app = app
        self._connected = connected
        self._under_way = 0
        self._dropped = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, then drop what is too much."""
        if scope["type"] != "http" or scope["path"].startswith(_OWN):
            await self._app(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
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
            gc.collect(1)
