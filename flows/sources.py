"""What a worker does for an API that does not reach its ComfyUI: it says what that offers as
workflows, and fetches their files, and outputs before they are kept.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Final
from uuid import UUID

from comfy import ComfyClient, TransientComfyError
from comfy.errors import NoOutputError, UnusableFileError
from comfy.outputs import saved_file
from comfy.sources import offered, workflow_file
from core.loop import Loop
from store.errors import StoreError
from store.sources import RENDERED, SourceAnswer
from store.store import Store

LOOK_EVERY_S: Final = 300.0
RETRY_S: Final = 15.0
ANSWER_EVERY_S: Final = 1.0
"""Seconds between two looks for what is asked for."""
HEARING_ANSWER_EVERY_S: Final = 5.0
"""The same where signals tell of requests: one may be lost."""
ANSWER_WITHIN_S: Final = 15.0
"""How long ComfyUI has for one file: less than who asked waits."""
RENDERED_MAX: Final = 32_000_000
"""Bytes of the largest output that is passed on before it is kept."""
_AT_ONCE: Final = 4
_log = logging.getLogger(__name__)


async def look_at_sources(store: Store, client: ComfyClient) -> None:
    """Keep what ComfyUI offers now. Raises TransientComfyError, StoreUnavailableError."""
    found = await offered(client)
    await store.sources.keep(client.base_url, [asdict(one) for one in found])


async def _answer(client: ComfyClient, source: str) -> SourceAnswer:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            if source.startswith(RENDERED):
                return await _rendered(client, source.removeprefix(RENDERED))
            found = await workflow_file(client, source)
    except (TransientComfyError, UnusableFileError) as error:
        return SourceAnswer(problem=str(error))
    except TimeoutError:
        return SourceAnswer(problem=f"ComfyUI did not answer within {ANSWER_WITHIN_S:g} s")
    return SourceAnswer() if found is None else SourceAnswer(found.data, found.name, found.title)


async def _rendered(client: ComfyClient, filename: str) -> SourceAnswer:
    """Returns a finished output, whole: only what is named after a prompt of Easel's."""
    file = saved_file(filename)
    if file is None:
        return SourceAnswer()
    try:
        return SourceAnswer(await client.view(file, RENDERED_MAX), filename)
    except NoOutputError:
        return SourceAnswer()


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


class Answering:
    """Fetches what is asked for, each in a task of its own: one that takes long holds up none.

    It is told of requests by signals, and looks every few seconds besides.
    """

    def __init__(self, store: Store, client: ComfyClient) -> None:
        self._sources = store.sources
        self._client = client
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._going: dict[UUID, asyncio.Task[None]] = {}
        self._hearing = ExitStack()
        self._loop = Loop(
            "fetching files that are asked for",
            self._look,
            every_s=lambda: HEARING_ANSWER_EVERY_S if self._sources.hears else ANSWER_EVERY_S,
            first_s=0.0,
            expected=(StoreError,),
            level=logging.DEBUG,
        )

    def start(self) -> None:
        """Begin. Once only."""
        self._hearing.enter_context(self._sources.listening(self._loop.wake))
        self._loop.start()

    async def stop(self) -> None:
        """Stop; what is being fetched is left unanswered."""
        self._hearing.close()
        await self._loop.stop()
        going = tuple(self._going.values())
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)

    async def _look(self) -> None:
        for request, source in await self._sources.asked(self._client.base_url):
            if request not in self._going:
                task = asyncio.create_task(self._fetch(request, source))
                self._going[request] = task
                task.add_done_callback(partial(self._done, request))

    async def _fetch(self, request: UUID, source: str) -> None:
        async with self._turns:
            answer = await _answer(self._client, source)
        await self._sources.answer(request, answer)

    def _done(self, request: UUID, task: asyncio.Task[None]) -> None:
        del self._going[request]  # one that failed is asked for until its API waits no more
        error = None if task.cancelled() else task.exception()
        if error is not None:
            level = logging.DEBUG if isinstance(error, StoreError) else logging.ERROR
            _log.log(level, "a file that was asked for was not fetched: %s", error)
