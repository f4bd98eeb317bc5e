"""The change feed: one poll of the database for all subscriptions, fanned out.

The change counter makes it complete: numbers are committed in order, so a reader that asks for
all rows above the last number it saw misses none, whichever process wrote them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.loop import Loop
from store.database import Database
from store.errors import StoreUnavailableError
from store.tables import counters, generations
from store.values import Generation

LOOK_EVERY_S: Final = 0.02
"""Seconds between polls while there are subscriptions. A poll costs about 0.1 ms."""
IDLE_LOOK_EVERY_S: Final = 1.0
"""Seconds between polls of the counter alone while there are none."""
LOST_PAUSE_S: Final = 0.5
_CLOSE_WITHIN_S: Final = 2.0
_PAGE: Final = 500


class Subscription:
    """What changed since the last read: the newest state of each generation, never a backlog.

    A slow reader skips the states in between, and they cost no memory.
    """

    def __init__(self, only: UUID | None) -> None:
        self.only = only
        self._changed: dict[UUID, Generation] = {}
        self._something = asyncio.Event()

    def offer(self, generation: Generation) -> None:
        """Accept a change if it is one of those watched."""
        if self.only is None or generation.id == self.only:
            self._changed.pop(generation.id, None)  # the newest change comes last
            self._changed[generation.id] = generation
            self._something.set()

    async def changes(self) -> AsyncIterator[Generation]:
        """Yields every change from now on, without end."""
        while True:
            await self._something.wait()
            while self._changed:
                yield self._changed.pop(next(iter(self._changed)))
            self._something.clear()


class ChangeFeed:
    """Use as an async context manager; without subscriptions it only tracks the counter.

    A subscription receives everything committed after it began, and perhaps what was committed
    shortly before.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscriptions: set[Subscription] = set()
        self._last = 0
        self._loop = Loop(
            "the change feed",
            self._look,
            every_s=IDLE_LOOK_EVERY_S,
            first_s=0.0,
            retry_s=LOST_PAUSE_S,
            expected=(StoreUnavailableError,),
        )

    async def __aenter__(self) -> ChangeFeed:
        async with self._database.read() as connection:
            self._last = await _newest(connection)
        self._loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # A cancel in the middle of a statement would leave its connection open.
        await self._loop.stop(grace_s=_CLOSE_WITHIN_S)

    @contextmanager
    def subscribe(self, only: UUID | None = None) -> Iterator[Subscription]:
        """Watch all generations, or one. Subscribe first, then read the row: so there is no gap."""
        subscription = Subscription(only)
        self._subscriptions.add(subscription)
        self._loop.wake()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def _look(self) -> None:
        async with self._database.read() as connection:
            if self._subscriptions:
                await self._follow(connection)
            else:
                await self._keep_place(connection)

    async def _follow(self, connection: AsyncConnection) -> None:
        """Publish every change, for as long as there are subscriptions."""
        glance = -1
        while self._subscriptions and not self._loop.is_ending:
            seen, glance = glance, await self._glance(connection)
            if glance != seen:
                while await self._publish(connection) == _PAGE:
                    pass  # there is more
            await asyncio.sleep(LOOK_EVERY_S)

    async def _keep_place(self, connection: AsyncConnection) -> None:
        """The next subscription must miss no change, and not receive all the old ones."""
        newest = await _newest(connection)
        if not self._subscriptions:  # else one began meanwhile, perhaps before the newest change
            self._last = newest

    async def _glance(self, connection: AsyncConnection) -> int:
        """Returns a number that changes with every commit."""
        if self._database.is_sqlite:
            return await _data_version(connection)
        return await _newest(connection)

    async def _publish(self, connection: AsyncConnection) -> int:
        statement = (
            select(generations)
            .where(generations.c.change > self._last, generations.c.deleted_at.is_(None))
            .order_by(generations.c.change)
            .limit(_PAGE)
        )
        rows = (await connection.execute(statement)).mappings().all()
        for row in rows:
            generation = Generation.from_row(row)
            self._last = generation.change
            for subscription in tuple(self._subscriptions):
                subscription.offer(generation)
        return len(rows)


async def _newest(connection: AsyncConnection) -> int:
    statement = select(counters.c.value).where(counters.c.name == "changes")
    value: int = (await connection.execute(statement)).scalar_one()
    return value


async def _data_version(connection: AsyncConnection) -> int:
    """SQLite's own indicator that another connection has committed: far cheaper than a query."""
    value: int = (await connection.execute(text("PRAGMA data_version"))).scalar_one()
    return value
