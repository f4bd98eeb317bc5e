"""Figures of the whole service, for monitoring: asked for often, counted now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from api.generations.facade import Facade
from core.status import Status
from store.counts import counts
from store.generations.dispatches import KINDS

COUNT_EVERY_S: Final = 5.0
"""Seconds that counted generations are told again: with a hundred thousand, a count takes long."""


@dataclass(frozen=True)
class StoreFigures:
    """What the database says."""

    generations: dict[Status, int]
    outbox: int
    workers: int


class Figures:
    """Counts, and remembers for some seconds what it has counted."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade
        self._generations: dict[Status, int] = {}
        self._stale_at = 0.0

    async def of_store(self) -> StoreFigures:
        """What the database says. Raises StoreUnavailableError."""
        store = self._facade.store
        outbox = await store.outbox.count(KINDS)
        workers = await self._facade.estimates.live_workers()
        if time.monotonic() >= self._stale_at:
            self._generations = await counts(store.database)
            self._stale_at = time.monotonic() + COUNT_EVERY_S
        return StoreFigures(self._generations, outbox, len(workers))

    async def disk_free(self) -> int | None:
        """Bytes free on the scarcest disk; None when it does not say."""
        room = await self._facade.disk.room()
        return None if room is None else room.free
