"""The feed of changes: one look at the database for everyone who watches, fanned out.

The change counter makes it complete: numbers are committed in order, so a reader that asks for
all rows above the last number it saw misses none, whichever process wrote them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Final
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import Database
from store.errors import StoreUnavailableError
from store.tables import counters, generations
from store.values import Generation

LOOK_EVERY_S: Final = 0.02
"""Seconds between two looks while somebody watches. A look costs about 0.1 ms."""
IDLE_LOOK_EVERY_S: Final = 1.0
"""Seconds between two looks at the counter alone while nobody watches."""
LOST_PAUSE_S: Final = 0.5
_CLOSE_WITHIN_S: Final = 2.0
_PAGE: Final = 500
_log = logging.getLogger(__name__)


class Subscription:
    """What changed since it was last asked: the newest state of each generation, never a backlog.

    A slow reader skips states in between, and costs no memory for them.
    """

    def __init__(self, only: UUID | None) -> None:
        self.only = only
        self._changed: dict[UUID, Generation] = {}
        self._something = asyncio.Event()

    def offer(self, generation: Generation) -> None:
        """Take a change in, if it is one of those that are watched."""
        if self.only is None or generation.id == self.only:
            self._changed.pop(generation.id, None)  # the newest change comes last
            self._changed[generation.id] = generation
            self._something.set()

    async def changes(self) -> AsyncIterator[Generation]:
        """Every change from now on, for ever."""
        while True:
            await self._something.wait()
            while self._changed:
                yield self._changed.pop(next(iter(self._changed)))
            self._something.clear()


class ChangeFeed:
    """Use as an async context manager; while nobody subscribes it only keeps its place.

    A subscription hears of everything that is committed after it began. It may hear of what was
    committed shortly before as well.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscriptions: set[Subscription] = set()
        self._watched = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last = 0
        self._closed = False

    async def __aenter__(self) -> ChangeFeed:
        async with self._database.read() as connection:
            self._last = await _newest(connection)
        self._task = asyncio.create_task(self._run(), name="change-feed")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closed = True
        self._watched.set()
        if self._task is not None:
            # A cancel in the middle of a statement would leave its connection open.
            await asyncio.wait([self._task], timeout=_CLOSE_WITHIN_S)
            self._task.cancel()
            await asyncio.wait([self._task])

    @contextmanager
    def subscribe(self, only: UUID | None = None) -> Iterator[Subscription]:
        """Watch all generations, or one. Subscribe first and read the row after: then no gap."""
        subscription = Subscription(only)
        self._subscriptions.add(subscription)
        self._watched.set()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            if not self._subscriptions:
                self._watched.clear()

    async def _run(self) -> None:
        while not self._closed:
            try:
                if self._watched.is_set():
                    async with self._database.read() as connection:
                        await self._follow(connection)
                else:
                    await self._keep_place()
            except StoreUnavailableError as error:
                _log.warning("the change feed waits: %s", error)
                await asyncio.sleep(LOST_PAUSE_S)
            except Exception:  # noqa: BLE001 - without it no page would hear of anything any more
                _log.exception("the change feed stumbled; it goes on")
                await asyncio.sleep(LOST_PAUSE_S)

    async def _follow(self, connection: AsyncConnection) -> None:
        glance = -1
        while self._watched.is_set() and not self._closed:
            seen, glance = glance, await self._glance(connection)
            if glance != seen:
                while await self._publish(connection) == _PAGE:
                    pass  # there is more
            await asyncio.sleep(LOOK_EVERY_S)

    async def _keep_place(self) -> None:
        """Nobody watches. Whoever subscribes next must miss nothing, and not hear it all."""
        async with self._database.read() as connection:
            newest = await _newest(connection)
        if self._watched.is_set():
            return  # subscribed meanwhile, perhaps before the newest change: begin further back
        self._last = newest
        with suppress(TimeoutError):
            await asyncio.wait_for(self._watched.wait(), IDLE_LOOK_EVERY_S)

    async def _glance(self, connection: AsyncConnection) -> int:
        """A number that moves with every commit."""
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
    """SQLite's own sign that another connection has committed: far cheaper than a query."""
    value: int = (await connection.execute(text("PRAGMA data_version"))).scalar_one()
    return value
