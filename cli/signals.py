"""Signals that ask a command to end in good order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def heed_signals(stop: asyncio.Event, hurry: Callable[[], None]) -> AsyncIterator[None]:
    """The first Ctrl+C or SIGTERM sets ``stop``, the second calls ``hurry``."""
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if stop.is_set():
            hurry()
        stop.set()

    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    for number in numbers:
        try:
            loop.add_signal_handler(number, ask)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ask))
    try:
        yield
    finally:
        if sys.platform != "win32":
            for number in numbers:
                with contextlib.suppress(ValueError):
                    loop.remove_signal_handler(number)
