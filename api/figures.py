"""Figures of the whole service for monitoring; slow counts are cached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api.cached import Cached
from api.generations.facade import Facade
from core.status import Status
from store.batches.dispatches import FORGET_BATCH
from store.callbacks.values import DeliveryState
from store.counts import counts, counts_under_way
from store.generations.dispatches import KINDS

COUNT_EVERY_S: Final = 5.0
"""Seconds that a count of a whole table is cached: it is slow with a hundred thousand rows."""
UNDER_WAY_FOR_S: Final = 0.5
"""Seconds that the count of those under way is cached."""


@dataclass(frozen=True)
class StoreFigures:
    """Figures from the database."""

    generations: dict[Status, int]
    deliveries: dict[DeliveryState, int]
    outbox: int
    workers: int


class Figures:
    """Counts of generations and deliveries are cached; the rest is read each time."""

    def __init__(self, facade: Facade, count_every_s: float = COUNT_EVERY_S) -> None:
        self._facade = facade
        store = facade.store
        self._generations = Cached(lambda: counts(store.database), count_every_s)
        self._under_way = Cached(lambda: counts_under_way(store.database), UNDER_WAY_FOR_S)
        self._deliveries = Cached(store.deliveries.counts, count_every_s)

    async def of_store(self) -> StoreFigures:
        """Returns the database's figures. Raises StoreUnavailableError."""
        outbox = await self._facade.store.outbox.count((*KINDS, FORGET_BATCH))
        workers = await self._facade.estimates.live_workers()
        return StoreFigures(
            await self._generations.get(), await self._deliveries.get(), outbox, len(workers)
        )

    async def under_way(self) -> dict[Status, int]:
        """Returns how many generations wait or run, by status. Raises StoreUnavailableError."""
        return await self._under_way.get()

    async def disk_free(self) -> int | None:
        """Returns the free bytes of the fullest disk; None if unknown."""
        room = await self._facade.disk.room()
        return None if room is None else room.free
