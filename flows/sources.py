"""What a worker does for an API that does not reach its ComfyUI: it says what that offers as
workflows, and fetches their files.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import Final
from uuid import UUID

from comfy import ComfyClient, TransientComfyError
from comfy.sources import offered, workflow_file
from core.loop import Loop
from store.errors import StoreError
from store.sources import SourceAnswer
from store.store import Store

LOOK_EVERY_S: Final = 300.0
RETRY_S: Final = 15.0
ANSWER_EVERY_S: Final = 1.0
ANSWER_WITHIN_S: Final = 15.0
"""How long ComfyUI has for one file: less than who asked waits."""
_AT_ONCE: Final = 4


async def look_at_sources(store: Store, client: ComfyClient) -> None:
    """Keep what ComfyUI offers now. Raises TransientComfyError, StoreUnavailableError."""
    found = await offered(client)
    await store.sources.keep(client.base_url, [asdict(one) for one in found])


async def answer_requests(store: Store, client: ComfyClient) -> None:
    """Fetch the files that are asked for, a few at once: one that takes long keeps none waiting.

    Raises StoreUnavailableError.
    """
    turns = asyncio.Semaphore(_AT_ONCE)

    async def answer(request: UUID, source: str) -> None:
        async with turns:
            await store.sources.answer(request, await _answer(client, source))

    asked = await store.sources.asked(client.base_url)
    answering = (answer(request, source) for request, source in asked)
    for outcome in await asyncio.gather(*answering, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _answer(client: ComfyClient, source: str) -> SourceAnswer:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            found = await workflow_file(client, source)
    except TransientComfyError as error:
        return SourceAnswer(problem=str(error))
    except TimeoutError:
        return SourceAnswer(problem=f"ComfyUI did not answer within {ANSWER_WITHIN_S:g} s")
    return SourceAnswer() if found is None else SourceAnswer(found.data, found.name, found.title)


def looking_at_sources(store: Store, client: ComfyClient) -> Loop:
    """Returns the loop that keeps the list up to date; wake it when ComfyUI is back."""

    async def look() -> None:
        await look_at_sources(store, client)

    return Loop(
        "reading what ComfyUI offers",
        look,
        every_s=LOOK_EVERY_S,
        first_s=0.0,
        retry_s=RETRY_S,
        expected=(TransientComfyError, StoreError),
        level=logging.DEBUG,
    )


def answering_requests(store: Store, client: ComfyClient) -> Loop:
    """Returns the loop that fetches what is asked for."""

    async def answer() -> None:
        await answer_requests(store, client)

    return Loop(
        "fetching workflows that are asked for",
        answer,
        every_s=ANSWER_EVERY_S,
        expected=(StoreError,),
        level=logging.DEBUG,
    )
