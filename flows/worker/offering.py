"""What this worker's ComfyUI offers: looked at before anything is taken, and from time to time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Literal

from comfy import ComfyClient, TransientComfyError
from core.loop import Loop
from core.workflows.needs import Needs, Offer
from flows import models, nodes
from store.errors import StoreError
from store.needs import Abilities
from store.store import Store

PATIENCE_S: Final = 10.0
"""How long nothing is taken from a ComfyUI that answers, but does not say what it has."""
_Part = Literal["files", "nodes"]
_BOTH: Final[tuple[_Part, ...]] = ("files", "nodes")


class Offering:
    """``loops`` look at ComfyUI. ``back()`` says that it answers, perhaps with other models.

    From then on ``is_known`` is false until files and classes were looked at, or that has failed:
    then goes what was known before, and what was never known is taken for there. ``on_change`` is
    called whenever more may be taken.
    """

    def __init__(self, store: Store, client: ComfyClient, on_change: Callable[[], None]) -> None:
        self.abilities = Abilities(self._meets)
        self._store = store
        self._client = client
        self._on_change = on_change
        self._offer: Offer | None = None
        self._contact = 0
        self._awaited: set[_Part] = set(_BOTH)
        self._patience: asyncio.TimerHandle | None = None
        expected = (TransientComfyError, StoreError)
        self._nodes = Loop(
            "reading ComfyUI's node classes",
            self._look_at_nodes,
            every_s=nodes.LOOK_EVERY_S,
            first_s=0.0,
            retry_s=nodes.RETRY_S,
            expected=expected,
        )
        self._files = Loop(
            "looking at ComfyUI's model files",
            self._look_at_files,
            every_s=models.LOOK_EVERY_S,
            first_s=0.0,
            retry_s=models.RETRY_S,
            expected=expected,
            level=logging.DEBUG,
        )
        self.loops: Final = (self._nodes, self._files)

    @property
    def is_known(self) -> bool:
        """Whether it was looked at since ComfyUI was found."""
        return not self._awaited

    def lacks(self, needs: Needs | None) -> tuple[str, ...]:
        """Returns which model files and node classes ComfyUI lacks, as far as that is known."""
        return () if needs is None or self._offer is None else self._offer.lacks(needs)

    def needs_of(self, digest: str) -> Needs | None:
        """Returns needs of what was offered by the queue, None for others."""
        return self.abilities.needs_of(digest)

    def back(self) -> None:
        """ComfyUI answers: look at it before anything is taken."""
        self._contact += 1
        self._awaited = set(_BOTH)
        if self._patience is not None:
            self._patience.cancel()
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(PATIENCE_S, self._done, self._contact, *_BOTH)
        for each in self.loops:
            each.wake()

    async def refresh(self) -> None:
        """Take over what is kept of it. Raises StoreUnavailableError."""
        before, self._offer = self._offer, await self._store.offers.of(self._client.base_url)
        if self._offer == before:
            return
        self.abilities = Abilities(self._meets)
        self._on_change()
        if before is not None and self._offer is not None and before.files != self._offer.files:
            self._nodes.wake()  # the same names are choices of its classes

    def _meets(self, needs: Needs) -> bool:
        return not self.lacks(needs)

    async def _look_at_nodes(self) -> None:
        contact = self._contact

        async def known() -> None:
            await self.refresh()
            self._done(contact, "nodes")

        try:
            await nodes.look_at_nodes(self._store, self._client, known)
        finally:
            self._done(contact, "nodes")

    async def _look_at_files(self) -> None:
        contact = self._contact

        async def known() -> None:
            await self.refresh()
            self._done(contact, "files")

        try:
            await models.look_at_models(self._store, self._client, known)
        finally:
            self._done(contact, "files")

    def _done(self, contact: int, *parts: _Part) -> None:
        """These were looked at; by a look that began before ComfyUI was found, it is no matter."""
        if contact != self._contact or not self._awaited:
            return
        self._awaited.difference_update(parts)
        if not self._awaited:
            self._on_change()
