"""Values that are requested often and read at intervals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from api.joining import retrieved

READ_AFTER_S: Final = 0.05
"""What is read for the next caller waits so long: this caller's work goes first."""
_T = TypeVar("_T")


class Cached(Generic[_T]):
    """A value read again when it is older than ``max_age_s``, once for all concurrent callers."""

    _value: _T

    def __init__(self, read: Callable[[], Awaitable[_T]], max_age_s: float) -> None:
        self._read = read
        self._max_age_s = max_age_s
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    async def get(self, *, usable_s: float = float("-inf")) -> _T:
        """Returns the value. Raises what reading it raises; errors are not cached.

        Who can do with one that is ``usable_s`` old does not wait until it is read again: it is
        read for those who come after.
        """
        if self._is_old(self._max_age_s):
            if self._is_old(usable_s):
                await self._read_again()
            elif self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read_soon())
                self._reading.add_done_callback(retrieved)
        return self._value

    async def _read_soon(self) -> None:
        await asyncio.sleep(READ_AFTER_S)
        await self._read_again()

    async def _read_again(self) -> None:
        async with self._lock:
            if self._is_old(self._max_age_s):
                self._value = await self._read()
                self._read_at = time.monotonic()

    def _is_old(self, seconds: float) -> bool:
        return time.monotonic() - self._read_at > seconds
