"""Lanes whose receivers do not answer: one connection at a time is enough for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class SilentLanes:
    """Keeps the connections that all lanes share from being used up by those of dead receivers."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def turn(self, lane: str) -> AsyncIterator[None]:
        """Wait for the turn of a try; there is nothing to wait for in a lane that answers."""
        lock = self._locks.get(lane)
        if lock is None:
            yield
            return
        async with lock:
            yield

    def heard(self, lane: str, *, answered: bool) -> None:
        """A try in the lane has ended, with an answer or without."""
        if answered:
            self._locks.pop(lane, None)
        else:
            self._locks.setdefault(lane, asyncio.Lock())
