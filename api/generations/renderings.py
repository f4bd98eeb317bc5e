"""Outputs as ComfyUI has them, before they are kept. They may vanish.

They come straight from the ComfyUI of this API; those of another one its worker fetches, which is
asked through the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from api.asking import asked
from api.errors import ProblemError
from api.generations.documents import Links, RenderedDocument
from api.joining import Shared
from comfy import ComfyClient, TransientComfyError
from comfy.errors import NoOutputError, UnusableFileError
from comfy.messages import OutputFile
from comfy.outputs import saved_file
from core.artefacts import PICTURE_KINDS, FileType, type_of
from core.status import is_final
from store.sources import RENDERED, SourceAnswer
from store.store import Store
from store.values import Generation, RenderedOutput, WorkerRecord

WITHIN_S: Final = 5.0
"""How long ComfyUI, or its worker, has to give an output."""
HELD_MAX: Final = 16_000_000
"""Bytes of an output that is read before it is sent; a larger one is sent as it comes."""
ASKED_AT_ONCE: Final = 4
"""Outputs that workers fetch for this API at the same time: they pass through the database."""


@dataclass(frozen=True)
class Rendering:
    """An output: what it is, its ``length`` in bytes where known, its bytes. ``close`` it."""

    type: FileType
    length: int | None
    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]


class Renderings:
    """``client`` is of this API's ComfyUI, and its own: slow readers may hold its connections.

    ``live_workers`` returns the workers that live. ``bytes_max`` is the size of the largest file
    that is kept.
    """

    def __init__(
        self,
        store: Store,
        links: Links,
        client: ComfyClient,
        live_workers: Callable[[], Awaitable[tuple[WorkerRecord, ...]]],
        bytes_max: int,
    ) -> None:
        self._store = store
        self._links = links
        self._client = client
        self._live_workers = live_workers
        self._bytes_max = bytes_max
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)
        self._relayed = Shared(self._ask)

    def announced(self, generation: Generation) -> list[RenderedDocument]:
        """Returns what ComfyUI has finished and this API can give, in its order."""
        if generation.progress is None or is_final(generation.status):
            return []
        return [
            RenderedDocument(
                number=number, kind=output.kind, url=self._links.rendered(generation, number)
            )
            for number, output in enumerate(generation.progress.rendered, start=1)
            if self._is_given(output)
        ]

    async def opened(self, generation: Generation, number: int) -> Rendering:
        """Begin to fetch an output, by its number from 1.

        Raises ProblemError 404 for one that is not there, 502 when ComfyUI does not give it;
        StoreUnavailableError.
        """
        output = rendered_of(generation, number)
        file = saved_file(output.filename) if output is not None else None
        if output is None or file is None or is_final(generation.status):
            raise _not_there()
        if not self._is_given(output):
            raise _away("this API does not reach the ComfyUI that has it")
        if output.comfy_url == self._client.base_url:
            try:
                return await self._straight(file)
            except UnusableFileError as error:
                raise _away(str(error)) from error
            except (NoOutputError, TransientComfyError) as error:
                # A ComfyUI of another machine may have the same address there.
                if not await self._has_worker(output):
                    raise _of(error) from error
        return await self._through_the_worker(output)

    def _is_given(self, output: RenderedOutput) -> bool:
        """Whether it can be had: only pictures are small enough to pass through the database."""
        return output.kind in PICTURE_KINDS or output.comfy_url == self._client.base_url

    async def _straight(self, file: OutputFile) -> Rendering:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(WITHIN_S):
                    begun = self._client.download(file, self._bytes_max)
                    download = await stack.enter_async_context(begun)
                    kind = _type_of(download.head, file.filename)
                    if download.length is not None and download.length <= HELD_MAX:
                        data = b"".join([chunk async for chunk in download.chunks()])
                        return _whole(kind, data)
            except TimeoutError:
                said = f"ComfyUI did not give {file.filename} within {WITHIN_S:g} s"
                raise TransientComfyError(said) from None
            kept_open = stack.pop_all()
            return Rendering(kind, download.length, download.chunks(), kept_open.aclose)

    async def _has_worker(self, output: RenderedOutput) -> bool:
        workers = await self._live_workers()
        return any(one.comfy_reachable and one.comfy_url == output.comfy_url for one in workers)

    async def _through_the_worker(self, output: RenderedOutput) -> Rendering:
        if not await self._has_worker(output):
            raise _away("the worker that has it is away")
        answer = await self._relayed.get((output.comfy_url, output.filename))
        if answer.problem is not None:
            raise _away(answer.problem)
        if answer.data is None:
            raise _not_there()
        try:
            return _whole(_type_of(answer.data, output.filename), answer.data)
        except UnusableFileError as error:
            raise _away(str(error)) from error

    async def _ask(self, key: tuple[str, str]) -> SourceAnswer:
        comfy_url, filename = key
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._asking.acquire()
        except TimeoutError:
            return SourceAnswer(problem="too many outputs are being fetched now")
        try:
            source = f"{RENDERED}{filename}"
            return await asked(self._store.sources, [comfy_url], source, WITHIN_S)
        finally:
            self._asking.release()


def rendered_of(generation: Generation, number: int) -> RenderedOutput | None:
    """Returns what was announced with that number, None if nothing was."""
    announced = generation.progress.rendered if generation.progress is not None else ()
    return announced[number - 1] if 0 < number <= len(announced) else None


def _type_of(head: bytes, filename: str) -> FileType:
    """Returns what its first bytes say. Raises UnusableFileError for a page in place of it."""
    kind, named = type_of(head, filename), type_of(b"", filename)
    if not head or (kind.kind == "file" and named.kind not in ("file", "text")):
        raise UnusableFileError(f"{filename} is not what its name says")
    return kind


def _whole(kind: FileType, data: bytes) -> Rendering:
    return Rendering(kind, len(data), _once(data), _nothing)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _nothing() -> None:
    pass


def _of(error: NoOutputError | TransientComfyError) -> ProblemError:
    return _not_there() if isinstance(error, NoOutputError) else _away(str(error))


def _not_there() -> ProblemError:
    return ProblemError("not_rendered", "it is not finished yet, or not there any more")


def _away(detail: str) -> ProblemError:
    return ProblemError("comfyui_away", detail)
