"""Serves an application by HTTP: uvicorn, which does less here while nobody asks for anything."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from types import FrameType
from typing import Any, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE

TICK_S: Final = 1.0
"""Seconds between two values of the responses' ``Date``."""


def serve(app: Any, **settings: Any) -> None:
    """Serve until SIGTERM or SIGINT. ``settings`` are uvicorn's.

    Raises SystemExit when it could not start; uvicorn has logged why.
    """
    server = CalmServer(uvicorn.Config(app, **settings))
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


class CalmServer(uvicorn.Server):
    """Is woken by the signal to end, where uvicorn looks ten times a second whether it came."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked_to_end = asyncio.Event()

    async def main_loop(self) -> None:
        """Return when it is to end."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._asked_to_end.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal has come."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._asked_to_end.set)
