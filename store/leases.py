"""Leases: which process holds something now, determined without comparing clocks.

A holder raises its lease's ``beat`` periodically. A watcher measures, on its own monotonic clock,
how long a beat has not changed; only that is compared with the lease's length. So clocks that jump
or differ between machines neither end nor prolong a lease.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, delete, select, update

from core.loop import Loop
from store.database import Database, insert_into, notes, reads, writes
from store.errors import StoreUnavailableError
from store.tables import leases

RENEWALS: Final = 6
"""How often a lease is renewed within its length."""
FORGOTTEN_AFTER: Final = 100
"""A lease unchanged for this many of its lengths is removed: its holder will not return."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lease:
    """A stored lease. Its holder promises to renew it within ``length_s``."""

    name: str
    holder: UUID
    beat: int
    length_s: float


class Leases:
    """The table of leases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @reads
    def all(self, connection: Connection) -> tuple[Lease, ...]:
        """Returns every lease that was not released."""
        columns = (leases.c.name, leases.c.holder, leases.c.beat, leases.c.length_s)
        rows = (connection.execute(select(*columns))).mappings()
        return tuple(Lease(**row) for row in rows)

    @writes
    def take(self, connection: Connection, name: str, holder: UUID, length_s: float) -> None:
        """Acquire the lease, replacing any current holder (the last one wins)."""
        values = {"name": name, "holder": holder, "beat": 0, "length_s": length_s}
        connection.execute(
            insert_into(connection, leases)
            .values(**values)
            .on_conflict_do_update(index_elements=["name"], set_=values)
        )

    @writes
    def take_free(
        self, connection: Connection, name: str, holder: UUID, length_s: float, lapsed: Lease | None
    ) -> bool:
        """Acquire the lease if it is free or still exactly ``lapsed``. Returns whether it was."""
        if lapsed is not None:
            connection.execute(
                delete(leases).where(
                    leases.c.name == name,
                    leases.c.holder == lapsed.holder,
                    leases.c.beat == lapsed.beat,
                )
            )
        done = connection.execute(
            insert_into(connection, leases)
            .values(name=name, holder=holder, beat=0, length_s=length_s)
            .on_conflict_do_nothing()
        )
        return done.rowcount == 1

    @notes
    def renew(self, connection: Connection, name: str, holder: UUID) -> bool:
        """Raise the beat: the holder is alive. Returns False when another has taken the lease."""
        done = connection.execute(
            update(leases)
            .where(leases.c.name == name, leases.c.holder == holder)
            .values(beat=leases.c.beat + 1)
        )
        return done.rowcount == 1

    @writes
    def give_up(self, connection: Connection, name: str, holder: UUID) -> None:
        """Release the lease: its holder stops."""
        connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))

    @writes
    def forget(self, connection: Connection, lease: Lease) -> None:
        """Remove a lease that is still exactly this one."""
        connection.execute(
            delete(leases).where(
                leases.c.name == lease.name,
                leases.c.holder == lease.holder,
                leases.c.beat == lease.beat,
            )
        )


@dataclass(eq=False)
class _Standstill:
    lease: Lease
    moved: bool
    seconds: float = 0.0


class LeaseWatch:
    """Tells which holders are alive by polling the table. ``now`` is a monotonic clock (seconds).

    Only time between regular polls counts: a watcher that was itself stopped for an hour must not
    take every holder for dead.
    """

    def __init__(self, look_every_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._longest_step_s = 2 * look_every_s
        self._now = now
        self._looked_at: float | None = None
        self._seen: dict[UUID, _Standstill] = {}

    def look(self, found: Iterable[Lease]) -> None:
        """Note the current table."""
        now = self._now()
        is_first = self._looked_at is None
        before = now if self._looked_at is None else self._looked_at
        step = min(now - before, self._longest_step_s)
        self._looked_at = now
        seen: dict[UUID, _Standstill] = {}
        for lease in found:
            known = self._seen.get(lease.holder)
            if known is None:
                seen[lease.holder] = _Standstill(lease, moved=not is_first)
            elif known.lease.beat != lease.beat:
                seen[lease.holder] = _Standstill(lease, moved=True)
            else:
                known.seconds += step
                seen[lease.holder] = known
        self._seen = seen

    def knows(self, holder: UUID) -> bool:
        """Whether the holder had a lease at the last poll."""
        return holder in self._seen

    def lives(self, holder: UUID | None) -> bool:
        """Whether the holder has a lease that has not lapsed."""
        standstill = self._seen.get(holder) if holder is not None else None
        return standstill is not None and standstill.seconds < standstill.lease.length_s

    def moves(self, holder: UUID) -> bool:
        """Whether the holder was seen to renew or to take its lease, which has not lapsed since.

        Certain, unlike ``lives`` in the first looks: a dead holder's lease may be a new sight.
        """
        standstill = self._seen.get(holder)
        return standstill is not None and standstill.moved and self.lives(holder)

    def long_gone(self) -> list[Lease]:
        """Returns leases unchanged for so long that their rows can be removed."""
        return [
            standstill.lease
            for standstill in self._seen.values()
            if standstill.seconds >= FORGOTTEN_AFTER * standstill.lease.length_s
        ]


class LeaseKeeper:
    """Holds a lease while this process runs. Use as an async context manager.

    ``superseded`` is set when another has taken the lease: then the holder should stop.
    """

    def __init__(self, leases: Leases, name: str, length_s: float) -> None:
        self.holder = uuid4()
        self.superseded = asyncio.Event()
        self._leases = leases
        self._name = name
        self._length_s = length_s
        self._loop = Loop(
            f"renewing the lease {name}",
            self._renew,
            every_s=length_s / RENEWALS,
            expected=(StoreUnavailableError,),
        )

    async def __aenter__(self) -> LeaseKeeper:
        try:
            await self._leases.take(self._name, self.holder, self._length_s)
        except asyncio.CancelledError:  # acquired all the same, and no exit will follow
            await self._release()
            raise
        self._loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._loop.stop()
        await self._release()

    async def _release(self) -> None:
        try:
            await self._leases.give_up(self._name, self.holder)
        except StoreUnavailableError as error:
            _log.warning("the lease %s could not be released: %s", self._name, error)

    async def _renew(self) -> None:
        if not await self._leases.renew(self._name, self.holder):
            self.superseded.set()
            self._loop.end()
