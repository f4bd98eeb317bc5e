"""The database: ``read`` and ``write`` take a function and carry it out as one transaction.

The function gets a connection and awaits nothing. So a transaction costs one hop from the event
loop, holds its locks for no longer than its statements take, however busy the loop is, and a
caller that is cancelled leaves nothing open. Methods of what has a database are decorated with
``reads``, ``writes`` or ``notes``.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine, Result, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url

from store.postgresql import Postgresql
from store.signals import Hearing, signal
from store.sqlite import Sqlite
from store.tables import counters

_P = ParamSpec("_P")
_R = TypeVar("_R")
_OF_CHANGES: Final = counters.c.name == "changes"
_NEWEST: Final = select(counters.c.value).where(_OF_CHANGES)
_NEXT: Final = (
    update(counters)
    .where(_OF_CHANGES)
    .values(value=counters.c.value + bindparam("count"))
    .returning(counters.c.value)
)


class Database:
    """An open database. Use ``async with Database(url)``, or ``close()`` it.

    Raises StoreUnavailableError when SQLite's folder does not exist and cannot be created.
    ``patience_s`` is how long a write waits for SQLite's other writers before it gives up (ten
    seconds without it). ``now`` is a monotonic clock (seconds).
    """

    def __init__(
        self,
        url: str,
        *,
        patience_s: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self.hearing = Hearing()
        parsed = make_url(url)
        self._kind: Sqlite | Postgresql
        if parsed.get_backend_name() == "sqlite":
            self._kind = Sqlite(parsed, self.hearing, patience_s=patience_s, now=now)
        else:
            self._kind = Postgresql(parsed, self.hearing)

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def hear(self) -> None:
        """Let signals of other processes arrive at ``hearing``, in this event loop.

        Raises StoreUnavailableError.
        """
        await self._kind.hear()

    async def close(self) -> None:
        """Finish what was begun, and close every connection."""
        await self._kind.close()

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite (else PostgreSQL)."""
        return self._kind.is_sqlite

    @property
    def hears(self) -> bool:
        """Whether signals of other processes arrive now."""
        return self._kind.hears

    @property
    def engine(self) -> Engine:
        """Returns SQLAlchemy's engine, whose events tell of connections and statements."""
        return self._kind.engine

    async def read(self, work: Callable[[Connection], _R]) -> _R:
        """Returns what ``work`` returns, which must not be an open Result.

        Each statement sees what is committed when it runs.
        Raises StoreUnavailableError when the database does not answer.
        """
        return _left(await self._kind.read(work))

    async def write(self, work: Callable[[Connection], _R], *, durable: bool = True) -> _R:
        """Carry out ``work`` as a transaction: committed at its end, rolled back when it raises.

        It is finished even when the caller is cancelled meanwhile. ``durable``: what is committed
        survives a power cut; else it survives a crash of the process.
        Raises StoreUnavailableError when the database does not answer or stays locked.
        """
        return _left(await self._kind.write(work, durable=durable))


class HasDatabase(Protocol):
    """What ``reads``, ``writes`` and ``notes`` need of an object."""

    _database: Database


_S = TypeVar("_S", bound=HasDatabase)
_Method = Callable[Concatenate[_S, Connection, _P], _R]
_Awaited = Callable[Concatenate[_S, _P], Coroutine[Any, Any, _R]]


def reads(method: _Method[_S, _P, _R]) -> _Awaited[_S, _P, _R]:
    """Make a method that takes a connection one that reads: see ``Database.read``."""

    @functools.wraps(method)
    async def read(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await self._database.read(
            lambda connection: method(self, connection, *args, **kwargs)
        )

    return read


def writes(method: _Method[_S, _P, _R]) -> _Awaited[_S, _P, _R]:
    """Make a method that takes a connection a transaction: see ``Database.write``."""

    @functools.wraps(method)
    async def write(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await self._database.write(
            lambda connection: method(self, connection, *args, **kwargs)
        )

    return write


def notes(method: _Method[_S, _P, _R]) -> _Awaited[_S, _P, _R]:
    """Make a method that takes a connection a transaction that a power cut may undo.

    For what is written again soon, or found out again: it does not wait for the disk.
    """

    @functools.wraps(method)
    async def note(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await self._database.write(
            lambda connection: method(self, connection, *args, **kwargs), durable=False
        )

    return note


def next_changes(connection: Connection, count: int = 1) -> int:
    """Reserve ``count`` change numbers in this transaction. Returns the first of them.

    The counter's row is locked until the commit, so numbers become visible in order: a
    reader that has seen number n never sees a smaller one appear later.
    """
    last: int = connection.execute(_NEXT, {"count": count}).scalar_one()
    signal(connection, "changes")
    return last - count + 1


def newest_change(connection: Connection) -> int:
    """Returns the newest change number."""
    newest: int = connection.execute(_NEWEST).scalar_one()
    return newest


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Returns an INSERT that can say what happens on a conflict; each dialect has its own."""
    return _insertion(connection.dialect.name, table)


def insert_new_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Returns an INSERT that leaves out rows that are there."""
    return _insertion_of_new(connection.dialect.name, table)


# Made once: SQLAlchemy takes longer to make a statement than to carry it out.
@functools.cache
def _insertion(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@functools.cache
def _insertion_of_new(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    return _insertion(dialect, table).on_conflict_do_nothing()


def _left(result: _R) -> _R:
    """A Result that has left its transaction would be read from another one's connection."""
    if isinstance(result, Result):
        raise TypeError("read the Result before the transaction ends")
    return result
