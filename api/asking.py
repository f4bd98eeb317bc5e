"""Files of a ComfyUI that this API does not reach: its worker is asked, through the store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import Final
from uuid import UUID

from store.sources import SourceAnswer, Sources

LOOK_S: Final = 0.2
"""Seconds between two looks for an answer, where no signals arrive."""
HEARING_LOOK_S: Final = 1.0
"""Where they do: one may be lost."""


async def asked(
    sources: Sources, comfy_urls: Collection[str], source: str, within_s: float
) -> SourceAnswer:
    """Returns what the workers of these ComfyUIs answer: the first with a file, if any has it.

    One with a ``problem`` when none has answered within so many seconds.
    Raises StoreUnavailableError.
    """
    heard = asyncio.Event()
    with sources.listening(heard.set):
        requests = await sources.ask(comfy_urls, source)
        try:
            async with asyncio.timeout(within_s):
                return await _first_of(sources, requests, heard)
        except TimeoutError:
            said = "this API does not reach ComfyUI, and no worker fetched it within"
            return SourceAnswer(problem=f"{said} {within_s:g} s")
        finally:
            await sources.forget(requests)


async def _first_of(sources: Sources, requests: list[UUID], heard: asyncio.Event) -> SourceAnswer:
    """Waits for the first answer with a file, or for all of them."""
    while True:
        heard.clear()
        answers = await sources.answers(requests)
        with_file = next((one for one in answers if one.data is not None), None)
        if with_file is not None:
            return with_file
        if len(answers) == len(requests):
            return next((one for one in answers if one.problem is not None), answers[0])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARING_LOOK_S if sources.hears else LOOK_S):
                await heard.wait()
