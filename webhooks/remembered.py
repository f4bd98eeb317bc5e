"""What is read at every try, and changes rarely: remembered for a moment."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Remembered(Generic[_Value]):
    """Returns what ``read`` returned, for ``seconds`` from the reading on."""

    def __init__(self, read: Callable[[], Awaitable[_Value]], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._found: tuple[float, _Value] | None = None

    async def __call__(self) -> _Value:
        """Returns the value. Raises what ``read`` raises."""
        now = time.monotonic()
        if self._found is None or self._found[0] < now:
            self._found = (now + self._seconds, await self._read())
        return self._found[1]
