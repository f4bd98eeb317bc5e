"""Reads for many callers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_T = TypeVar("_T")


class Shared(Generic[_Key, _T]):
    """Reads for many callers: one read for all that ask before it begins.

    A read that has begun is never joined: what it returns may be older than the question.
    """

    def __init__(self, read: Callable[[_Key], Awaitable[_T]]) -> None:
        self._read = read
        self._running: dict[_Key, asyncio.Task[_T]] = {}
        self._next: dict[_Key, asyncio.Task[_T]] = {}

    async def get(self, key: _Key) -> _T:
        """Returns what is read from now on. Raises what reading raises."""
        task = self._next.get(key)
        if task is None:
            task = asyncio.create_task(self._read_after(key, self._running.get(key)))
            task.add_done_callback(retrieved)
            self._next[key] = task
        return await asyncio.shield(task)

    async def _read_after(self, key: _Key, before: asyncio.Task[_T] | None) -> _T:
        if before is not None:
            await asyncio.wait([before])
        task = self._running[key] = self._next.pop(key)
        try:
            return await self._read(key)
        finally:
            if self._running.get(key) is task:
                del self._running[key]


def retrieved(task: asyncio.Task[Any]) -> None:
    """Mark a failure as seen: every caller has it, and there may be none left."""
    if not task.cancelled():
        task.exception()
