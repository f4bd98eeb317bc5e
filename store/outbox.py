"""The outbox: what is to be done outside of the store, kept until it is done.

An entry is written in the transaction that decided it. A runner claims it before it works on it,
under its own lease, so that no two work on the same one; a claim whose lease has lapsed is freed.
Entries of one subject are worked on one at a time, those of different lanes side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    union,
    update,
)

from store.database import Database, notes, reads, writes
from store.errors import LeaseLostError
from store.leases import Lease
from store.signals import signal
from store.tables import leases, outbox
from store.values import Entry, NewEntry

ERROR_MAX: Final = 2000
_CLAIMING: Final = 0x6F75_7462  # "outb"
_NOW: Final = "now"
_INSERT: Final = insert(outbox)
_CLAIMERS: Final = select(outbox.c.claimed_by).distinct().where(outbox.c.claimed_by.is_not(None))


@dataclass(frozen=True)
class Look:
    """What a runner sees of the outbox at one look.

    ``lanes`` have free and due entries. ``claimers`` are the leases under which entries are
    claimed, if they were asked for. ``due_in_s``: seconds until the next free entry falls due, None
    without any; while there are lanes it is not looked for.
    """

    lanes: frozenset[str]
    claimers: frozenset[UUID]
    due_in_s: float | None


def put(connection: Connection, entries: Sequence[NewEntry]) -> None:
    """Write entries in the caller's transaction; they are due at once, or when they say."""
    if entries:
        signal(connection, "outbox")
        connection.execute(_INSERT, [_new_row(one) for one in entries])


def _new_row(entry: NewEntry) -> dict[str, Any]:
    # Times of the writer's clock. By a database's that is behind, the entry was put off in the
    # future, so it is due at once; by one that is ahead it is due early. It is never late.
    put_off_at = entry.created_at if entry.due_at is not None else None
    return {**vars(entry), "put_off_at": put_off_at, "tries": 0}


def remove(connection: Connection, entry: Entry) -> bool:
    """Remove a completed entry. Returns False when the caller no longer holds it."""
    done = connection.execute(delete(outbox).where(*_claimed(entry)))
    return done.rowcount == 1


def holds(connection: Connection, entry: Entry) -> bool:
    """Returns whether the caller still holds an entry, which is locked then."""
    found = connection.execute(select(outbox.c.id).where(*_claimed(entry)).with_for_update())
    return found.first() is not None


class Outbox:
    """The table of entries. ``clock`` is used instead of the database's."""

    def __init__(self, database: Database, clock: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._clock = clock

    @property
    def hears(self) -> bool:
        """Whether signals of entries that other processes write arrive now."""
        return self._database.hears

    def listening(self, call: Callable[[], None]) -> AbstractContextManager[None]:
        """Call it whenever entries have been written, by this process or another one."""
        return self._database.hearing.listening("outbox", call)

    def _now(self, connection: Connection) -> datetime:
        return self._clock() if self._clock is not None else _now(connection)

    @reads
    def lanes(
        self, connection: Connection, kinds: Collection[str], *, due: bool = True
    ) -> frozenset[str]:
        """Returns the lanes with free and due entries of these kinds; with any unless ``due``."""
        if not due:
            return frozenset((connection.execute(_lanes(kinds))).scalars())
        now = {_NOW: self._now(connection)}
        return frozenset(connection.execute(_due_lanes(tuple(kinds)), now).scalars())

    @reads
    def look(
        self, connection: Connection, kinds: Collection[str], *, with_claimers: bool = False
    ) -> Look:
        """Returns what there is to do of these kinds, in one transaction."""
        now = self._now(connection)
        lanes = connection.execute(_due_lanes(tuple(kinds)), {_NOW: now}).scalars().all()
        claimers = connection.execute(_CLAIMERS).scalars().all() if with_claimers else ()
        dues = () if lanes else connection.execute(_next_dues(tuple(kinds)), {_NOW: now}).one()
        due_in_s = min(((at - now).total_seconds() for at in dues if at is not None), default=None)
        return Look(frozenset(lanes), frozenset(claimers), due_in_s)

    @reads
    def has_due(self, connection: Connection, lane: str, kinds: Collection[str]) -> bool:
        """Returns whether a lane has a free and due entry of these kinds."""
        statement = select(outbox.c.id).where(
            outbox.c.lane == lane,
            outbox.c.kind.in_(kinds),
            _is_claimable(outbox, self._now(connection)),
        )
        return (connection.execute(statement.limit(1))).first() is not None

    @reads
    def count(self, connection: Connection, kinds: Collection[str]) -> int:
        """Returns the number of pending entries of these kinds, due or not."""
        statement = select(func.count()).select_from(outbox).where(outbox.c.kind.in_(kinds))
        return (connection.execute(statement)).scalar_one()

    @notes
    def claim(
        self, connection: Connection, lane: str, kinds: Collection[str], holder: UUID, limit: int
    ) -> tuple[Entry, ...]:
        """Claim what is to be done next in a lane: lower ranks first, then in the order of ids.

        Never two entries of one subject, and none of a subject already being worked on. ``holder``
        is the caller's lease. Raises LeaseLostError.
        """
        _take_turn(connection)
        lives = exists().where(leases.c.holder == holder)
        found = connection.execute(
            update(outbox)
            .where(outbox.c.id.in_(_next(lane, kinds, self._now(connection), limit)), lives)
            .values(claimed_by=holder)
            .returning(outbox)
        )
        rows = sorted(found.mappings(), key=lambda row: (row["rank"], row["id"]))
        if not rows and not (connection.execute(select(lives))).scalar_one():
            raise LeaseLostError(f"lease {holder} is gone")
        return tuple(Entry.from_row(row) for row in rows)

    @writes
    def done(self, connection: Connection, entry: Entry) -> bool:
        """Remove a completed entry. Returns False when the caller no longer holds it."""
        return remove(connection, entry)

    @writes
    def postpone(self, connection: Connection, entry: Entry, reason: str, delay_s: float) -> bool:
        """Give an entry back, due in ``delay_s`` seconds (perhaps days).

        Returns False when the caller no longer holds it.
        """
        now = self._now(connection)
        done = connection.execute(
            update(outbox)
            .where(*_claimed(entry))
            .values(
                tries=outbox.c.tries + 1,
                put_off_at=now,
                due_at=now + timedelta(seconds=delay_s),
                error=reason[:ERROR_MAX],
                claimed_by=None,
            )
        )
        return done.rowcount == 1

    @reads
    def claimers(self, connection: Connection) -> frozenset[UUID]:
        """Returns the leases under which entries are claimed."""
        return frozenset(connection.execute(_CLAIMERS).scalars())

    @writes
    def free(self, connection: Connection, holder: UUID, lapsed: Lease | None) -> int:
        """Free the claims of a holder whose lease is gone, or still exactly ``lapsed``.

        A lapsed lease is taken from its holder, which can claim nothing under it if it resumes.
        Returns how many were freed; none when the holder has renewed its lease meanwhile.
        """
        _take_turn(connection)
        if lapsed is not None:
            connection.execute(
                delete(leases).where(
                    leases.c.name == lapsed.name,
                    leases.c.holder == holder,
                    leases.c.beat == lapsed.beat,
                )
            )
        claimed = (
            select(outbox.c.id)
            .where(outbox.c.claimed_by == holder)
            .order_by(outbox.c.id)  # as others lock several: in one order
            .with_for_update()
        )
        done = connection.execute(
            update(outbox)
            .where(outbox.c.id.in_(claimed), ~exists().where(leases.c.holder == holder))
            .values(claimed_by=None)
        )
        return done.rowcount


def _lanes(kinds: Collection[str]) -> Select[tuple[str]]:
    return select(outbox.c.lane).distinct().where(outbox.c.kind.in_(kinds))


@lru_cache(maxsize=16)
def _due_lanes(kinds: tuple[str, ...]) -> CompoundSelect[tuple[str]]:
    """Selects the lanes with free and due entries, at the time ``_NOW``.

    Each way to be due is a range of an index: what is not due is not read, however much it is.
    Made once, as each runner asks every second: making it is most of what asking costs.
    """
    free = _lanes(kinds).where(outbox.c.claimed_by.is_(None))
    now = bindparam(_NOW, type_=outbox.c.due_at.type)
    return union(*(free.where(one) for one in _dues(outbox, now)))


@lru_cache(maxsize=16)
def _next_dues(kinds: tuple[str, ...]) -> Select[tuple[datetime | None, ...]]:
    """Selects when the next free entry of each kind falls due after the time ``_NOW``.

    The first of a range of an index for each: a minimum over several kinds reads all that wait.
    """
    now = bindparam(_NOW, type_=outbox.c.due_at.type)
    return select(
        *(
            select(outbox.c.due_at)
            .where(outbox.c.kind == kind, outbox.c.due_at > now, outbox.c.claimed_by.is_(None))
            .order_by(outbox.c.due_at)
            .limit(1)
            .scalar_subquery()
            .label(f"of_{number}")
            for number, kind in enumerate(kinds)
        )
    )


def _next(lane: str, kinds: Collection[str], now: datetime, limit: int) -> Select[tuple[int]]:
    """Selects the ids to do next: the first of each subject that is not being worked on."""
    other = outbox.alias("other")
    is_first = tuple_(other.c.rank, other.c.id) < tuple_(outbox.c.rank, outbox.c.id)
    goes_before = and_(other.c.kind.in_(kinds), _is_claimable(other, now), is_first)
    blocked = exists().where(
        other.c.subject == outbox.c.subject,
        # No column by itself, so that it is found by its subject. PostgreSQL, before it has
        # statistics of a lane that has just been filled, compared all of the lane with all of it:
        # a claim among 3,000 took 730 ms instead of 5.
        other.c.lane.concat("") == outbox.c.lane,
        or_(other.c.claimed_by.is_not(None), goes_before),
    )
    return (
        select(outbox.c.id)
        .where(
            outbox.c.lane == lane,
            outbox.c.kind.in_(kinds),
            _is_claimable(outbox, now),
            ~blocked,
        )
        .order_by(outbox.c.rank, outbox.c.id)
        .limit(limit)
    )


def _is_claimable(entries: FromClause, now: datetime) -> ColumnElement[bool]:
    """Free and due. An entry postponed at a time in the future is due: the clock was set back."""
    return and_(entries.c.claimed_by.is_(None), or_(*_dues(entries, now)))


def _dues(
    entries: FromClause, now: datetime | BindParameter[datetime]
) -> tuple[ColumnElement[bool], ...]:
    return entries.c.due_at.is_(None), entries.c.due_at <= now, entries.c.put_off_at > now


def _claimed(entry: Entry) -> tuple[ColumnElement[bool], ...]:
    """Conditions that the row meets only while the entry's claim holds."""
    return outbox.c.id == entry.id, outbox.c.claimed_by == entry.claimed_by


def _now(connection: Connection) -> datetime:
    """The time by the one clock that all processes on this database share."""
    if connection.dialect.name == "sqlite":  # they are on one machine
        return datetime.now(UTC)
    now: datetime = (connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


def _take_turn(connection: Connection) -> None:
    """One transaction at a time claims or frees: each sees the writes of the previous one."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))
