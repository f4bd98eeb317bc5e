"""Whether ComfyUI answers, to be awaited and to be shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

ReachableCallback = Callable[[bool, str], None]


class Reachability:
    """A flag that can be awaited; ``on_change(reachable, detail)`` is called on each change."""

    def __init__(self, on_change: ReachableCallback | None = None) -> None:
        self.on_change = on_change
        self.detail = "not tried yet"
        self._yes = asyncio.Event()

    @property
    def reachable(self) -> bool:
        """Whether ComfyUI answered last time."""
        return self._yes.is_set()

    def report(self, reachable: bool, detail: str) -> None:
        """Record the result of the last attempt."""
        self.detail = detail
        if reachable == self.reachable:
            return
        if reachable:
            self._yes.set()
        else:
            self._yes.clear()
        if self.on_change:
            self.on_change(reachable, detail)

    async def wait(self) -> None:
        """Return as soon as ComfyUI answers."""
        await self._yes.wait()
