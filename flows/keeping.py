"""One output of an attempt on its way from ComfyUI to the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from comfy import FetchedFile, FetchedImage, Output, OutputFile, OutputText
from core.artefacts import TEXT
from core.failpoints import reach
from core.infotext import KEYWORD, infotext
from core.png import keywords, with_texts
from flows.errors import CancelRequested
from store.artefacts.files import NewFile, NewPicture
from store.errors import NoSpaceError, StorageAwayError, StoreUnavailableError
from store.store import Store
from store.values import Artefact, Claim, Waiting

STORAGE_LOOK_S: Final = 5.0
"""Seconds between two tries to keep an output while the disk is full or the storage away."""
_NAME_MAX: Final = 255
_OF_COMFYUI: Final = "prompt"
"""The text that ComfyUI writes into a PNG, unless it was told to write none."""
Log = logging.Logger | logging.LoggerAdapter[Any]


class Opener(Protocol):
    """What is needed of ComfyUI; implemented and documented by ``comfy.ComfySession``."""

    def open(
        self, file: OutputFile, pixels: int
    ) -> AbstractAsyncContextManager[FetchedImage | FetchedFile]:
        """Fetch a finished file: a picture whole and verified, any other in chunks."""
        ...


@dataclass(eq=False)
class Keeping:
    """Keeps one output. ``names`` are the names of outputs by their nodes, where declared."""

    store: Store
    session: Opener
    claim: Claim
    position: int
    output: Output
    names: Mapping[str, str]
    log: Log
    _picture: NewPicture | None = None

    async def keep(self) -> Artefact:
        """Fetch it and keep it. While the storage takes nothing it waits, however long.

        Raises CancelRequested when a cancel is asked for meanwhile.
        """
        while True:
            try:
                return await self._keep()
            except NoSpaceError as error:
                advice = "Free some space: the output is finished and waits."
                waiting = Waiting("disk_full", f"{error}. {advice}")
            except StorageAwayError as error:
                advice = "The output is finished and waits; it is stored when the storage is back."
                waiting = Waiting("storage_away", f"{error}. {advice}")
            await self._wait(waiting)

    async def _keep(self) -> Artefact:
        if isinstance(self.output, OutputText):
            return await self._keep_file(FetchedFile(TEXT, _once(self.output.text.encode())))
        if self._picture is None:
            async with self.session.open(self.output, pixels_of(self.claim)) as fetched:
                reach("fetch.mid")
                if isinstance(fetched, FetchedFile):
                    return await self._keep_file(fetched)
            self._picture = await self._new_picture(fetched)
        claim = self.claim
        return await self.store.files.keep(
            claim.generation_id, claim.attempt, self.position, self._picture
        )

    async def _keep_file(self, fetched: FetchedFile) -> Artefact:
        claim = self.claim
        new = NewFile(
            fetched.type, fetched.chunks, claim.request.seed, self._name, self.output.node or None
        )
        return await self.store.files.keep_file(
            claim.generation_id, claim.attempt, self.position, new
        )

    async def _new_picture(self, fetched: FetchedImage) -> NewPicture:
        texts = embedded_texts(self.claim)
        return NewPicture(
            data=await asyncio.to_thread(_with_texts, fetched.data, texts),
            width=fetched.width,
            height=fetched.height,
            content_type=fetched.content_type,
            seed=self.claim.request.seed,
            name=self._name,
            node=self.output.node or None,
        )

    @property
    def _name(self) -> str:
        """The declared name of its node, else the file's in ComfyUI.

        A node that expands gives its outputs under ids that begin with its own ("129:108").
        """
        node = self.output.node
        declared = self.names.get(node) or self.names.get(node.partition(":")[0])
        given = "text" if isinstance(self.output, OutputText) else self.output.filename
        return (declared or given)[:_NAME_MAX]

    async def _wait(self, waiting: Waiting) -> None:
        """Record why it waits. The row may be on the same full disk: then only the log has it."""
        self.log.warning("The output cannot be stored yet: %s", waiting.detail)
        with contextlib.suppress(StoreUnavailableError):
            if await self.store.transitions.record_waiting(self.claim, waiting) == "cancelling":
                raise CancelRequested
        await asyncio.sleep(STORAGE_LOOK_S)


def pixels_of(claim: Claim) -> int:
    """Returns the size that was asked for."""
    return claim.request.width * claim.request.height


def embedded_texts(claim: Claim) -> dict[str, str]:
    """Returns the texts that its pictures are to carry, by their keywords in the PNG."""
    text = infotext(claim.request.model_dump())
    return {KEYWORD: text} if text is not None else {}


def _with_texts(data: bytes, texts: Mapping[str, str]) -> bytes:
    """Add texts where ComfyUI wrote its own: an operator may have told it to write none."""
    return with_texts(data, texts) if _OF_COMFYUI in keywords(data) else data


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
