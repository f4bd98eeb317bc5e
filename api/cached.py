"""Values that are requested often and read at intervals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Cached(Generic[_T]):
    """A value read again when it is older than ``max_age_s``, once for all concurrent callers."""

    _value: _T

    def __init__(self, read: Callable[[], Awaitable[_T]], max_age_s: float) -> None:
        self._read = read
        self._max_age_s = max_age_s
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self) -> _T:
        """Returns the value. Raises what reading it raises; errors are not cached."""
        if self._is_old():
            async with self._lock:
                if self._is_old():
                    self._value = await self._read()
                    self._read_at = time.monotonic()
        return self._value

    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at > self._max_age_s
