"""Whether ComfyUI answers, to be awaited and to be shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from comfy.versions import says_too_old
from core.urls import without_userinfo

ReachableCallback = Callable[[bool, str], None]
UNREACHABLE: Final = "ComfyUI cannot be reached"
_NO_ANSWER: Final = f"{UNREACHABLE}: All connection attempts failed"
"""What httpx says of a refused connection; it tells users nothing more."""


def away_words(url: str, detail: str | None) -> str:
    """Returns what users read while the ComfyUI at ``url`` cannot be used."""
    place = without_userinfo(url).removeprefix("http://")
    if detail is not None and says_too_old(detail):
        return f"{detail} (at {place}). Your queue is safe; it continues when ComfyUI is updated."
    why = "" if detail in (None, _NO_ANSWER) else f" ({detail})"
    return (
        f"ComfyUI at {place} isn't answering{why}. "
        "Your queue is safe; it continues when ComfyUI is back."
    )


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
