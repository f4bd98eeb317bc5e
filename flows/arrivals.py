"""Pictures that are fetched as soon as their node is done, while the rest of a prompt goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from comfy import FetchedImage, Output, OutputFile
from comfy.events import OutputReady, TrackEvent
from comfy.workflows import pixels_of as planned_pixels
from core.artefacts import type_of
from core.failpoints import reach
from core.workflows.limits import SIZE_MAX
from flows.opening import Opener
from store.values import Claim

HELD_MAX: Final = 64_000_000
"""Bytes of fetched pictures that an attempt holds; what comes then is fetched at its end."""
PIXELS_AT_ONCE: Final = 8 * 1024 * 1024
"""Pixels of one generation that are decoded at the same time: sixteen pictures of 4096 × 4096 need
gigabytes, eight of 1024 × 1024 are sooner kept together."""


async def _at_once() -> None:
    """Nothing comes first."""


class Arrivals:
    """What an attempt has of its outputs before ComfyUI's history names them.

    A hint: nothing of it is kept that the history does not name, and what could not be fetched
    early is fetched then. ``turns`` bounds how many pictures are decoded at once.
    """

    def __init__(self, session: Opener, claim: Claim) -> None:
        self._session = session
        self._pixels = pixels_of(claim)
        self._held = 0
        self._tasks: dict[OutputFile, asyncio.Task[FetchedImage | None]] = {}
        self.turns: Final = asyncio.Semaphore(max(1, PIXELS_AT_ONCE // self._pixels))

    def on_event(self, event: TrackEvent, first: Callable[[], Awaitable[None]] = _at_once) -> None:
        """Begin to fetch a picture that is announced, after ``first``. Never blocks."""
        if isinstance(event, OutputReady) and self._is_wanted(event.file):
            self._tasks[event.file] = asyncio.create_task(self._fetch(event.file, first))

    async def of(self, output: Output) -> FetchedImage | None:
        """Returns an output that was fetched early, as soon as it is here; None for any other."""
        task = self._tasks.get(output) if isinstance(output, OutputFile) else None
        return None if task is None else await asyncio.shield(task)

    async def clear(self) -> None:
        """Drop all: the prompt is over, or is executed anew."""
        tasks = tuple(self._tasks.values())
        self._tasks.clear()
        self._held = 0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_wanted(self, file: OutputFile) -> bool:
        is_new = file not in self._tasks and self._held < HELD_MAX
        return is_new and type_of(b"", file.filename, file.format, file.key).is_picture

    async def _fetch(
        self, file: OutputFile, first: Callable[[], Awaitable[None]]
    ) -> FetchedImage | None:
        await first()
        try:
            async with self.turns, self._session.open(file, self._pixels) as fetched:
                reach("fetch.mid")
                if not isinstance(fetched, FetchedImage) or self._held >= HELD_MAX:
                    return None
        except Exception:  # noqa: BLE001 - it is fetched at the end, which says what is wrong then
            return None
        self._held += len(fetched.data)
        return fetched


def pixels_of(claim: Claim) -> int:
    """Returns the pixels that a picture should have; the most possible where nothing says that.

    What an imported workflow saves may be larger than what it samples: it may scale it up.
    """
    return planned_pixels(claim.request) or SIZE_MAX * SIZE_MAX
