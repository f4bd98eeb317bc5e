"""The change feed: one reader of the database for all subscriptions, fanned out.

The change counter makes it complete: numbers are committed in order, so a reader that asks for
all rows above the last number it saw misses none, whichever process wrote them. A signal tells
when to ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, select

from core.loop import Loop
from core.requests import StoredRequest, read_request
from store.database import Database, newest_change
from store.errors import StoreUnavailableError
from store.tables import generations
from store.values import Generation

LOOK_EVERY_S: Final = 0.02
"""Seconds between polls while there are subscriptions, and no signals arrive."""
HEARING_LOOK_EVERY_S: Final = 1.0
"""Seconds between polls while there are subscriptions and signals arrive: one may be lost."""
IDLE_LOOK_EVERY_S: Final = 1.0
"""Seconds between polls of the counter alone while there are no subscriptions."""
UNTOLD_LOOK_EVERY_S: Final = 10.0
"""The same while no signal has come since the last one, where signals arrive."""
LOST_PAUSE_S: Final = 0.5
_CLOSE_WITHIN_S: Final = 2.0
_PAGE: Final = 500
_REMEMBERED: Final = 256
_CHANGED: Final = (
    select(generations)
    .where(generations.c.change > bindparam("last"), generations.c.deleted_at.is_(None))
    .order_by(generations.c.change)
    .limit(_PAGE)
)


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


class _Requests:
    """Requests of generations that changed lately, each read once: progress changes none of it."""

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, tuple[Any, StoredRequest]] = OrderedDict()

    def read(self, generation_id: UUID, stored: Any) -> StoredRequest:
        """As ``read_request``."""
        known = self._known.get(generation_id)
        if known is None or known[0] != stored:
            known = self._known[generation_id] = (stored, read_request(stored))
        self._known.move_to_end(generation_id)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return known[1]


class ChangeFeed:
    """Use as an async context manager; without subscriptions it only tracks the counter.

    A subscription receives everything committed after it began, and perhaps what was committed
    shortly before.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscriptions: set[Subscription] = set()
        self._requests = _Requests()
        self._last = 0
        self._keep_at = 0.0
        self._told = asyncio.Event()
        self._hearing = ExitStack()
        self._loop = Loop(
            "the change feed",
            self._look,
            every_s=IDLE_LOOK_EVERY_S,
            first_s=0.0,
            retry_s=LOST_PAUSE_S,
            expected=(StoreUnavailableError,),
        )

    async def __aenter__(self) -> ChangeFeed:
        self._last = await self._database.read(newest_change)
        self._hearing.enter_context(self._database.hearing.listening("changes", self._told.set))
        self._loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._hearing.close()
        self._told.set()
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
        if self._subscriptions:
            await self._follow()
        else:
            await self._keep_place()

    async def _follow(self) -> None:
        """Publish every change, for as long as there are subscriptions."""
        while self._subscriptions and not self._loop.is_ending:
            self._told.clear()
            while await self._publish() == _PAGE:
                pass  # there is more
            await self._pause()

    async def _pause(self) -> None:
        """Until a signal; where none arrive, the next poll."""
        seconds = HEARING_LOOK_EVERY_S if self._database.hears else LOOK_EVERY_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()

    async def _keep_place(self) -> None:
        """The next subscription must miss no change, and not receive all the old ones."""
        now = time.monotonic()
        if self._database.hears and not self._told.is_set() and now < self._keep_at:
            return
        self._told.clear()
        self._keep_at = now + UNTOLD_LOOK_EVERY_S
        newest = await self._database.read(newest_change)
        if not self._subscriptions:  # else one began meanwhile, perhaps before the newest change
            self._last = newest

    async def _publish(self) -> int:
        since = {"last": self._last}
        rows = await self._database.read(
            lambda connection: connection.execute(_CHANGED, since).mappings().all()
        )
        for row in rows:
            generation = Generation.from_row(row, partial(self._requests.read, row["id"]))
            self._last = generation.change
            for subscription in tuple(self._subscriptions):
                subscription.offer(generation)
        return len(rows)
