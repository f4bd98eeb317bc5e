"""The database: one engine, with two entry points: ``read()`` and ``write()``."""

from __future__ import annotations

import asyncio
import functools
import json
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import aiosqlite
from sqlalchemy import Connection, Table, event, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random

from core.text import encodable_json
from store.errors import StoreUnavailableError
from store.tables import counters

BUSY_TIMEOUT_MS: Final = 10_000
"""How long SQLite waits for another writer before it gives up, unless a database says less."""
_BUSY_STEP_MS: Final = 500
"""What is left of that wait is rounded up to these, so that it is rarely set anew."""
_BUSY: Final = "easel_busy_ms"
_SWITCH_PAUSE_S: Final = (0.005, 0.05)
"""Shortest and longest pause before the switch to WAL is tried again."""
_WRITES: Final = "easel_writes"
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Database:
    """An open database. Use ``async with Database(url)``, or ``close()`` it.

    Raises StoreUnavailableError when SQLite's folder does not exist and cannot be created.

    SQLite runs in WAL mode with ``synchronous=FULL``: what is committed survives a power cut.
    Its write transactions begin IMMEDIATE, because a deferred one that turns into a writer
    fails at once when another writer is ahead, whatever the busy timeout says.

    ``patience_s`` is how long a write waits for other writers before it gives up. ``now`` is a
    monotonic clock (seconds).
    """

    def __init__(
        self,
        url: str,
        *,
        patience_s: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._now = now
        self._patience_s = patience_s
        self._turns = asyncio.Lock()
        try:
            self.engine = _create_engine(url)
        except OSError as error:  # the folder cannot be made
            raise StoreUnavailableError(_reason(error)) from error

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite (else PostgreSQL)."""
        return self.engine.dialect.name == "sqlite"

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading: each statement sees what is committed when it runs.

        Raises StoreUnavailableError when the database does not answer.
        """
        with _translated():
            async with self.engine.connect() as connection:
                if not self.is_sqlite:  # which begins nothing here anyway: see _begin_sqlite
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end of the block, rolled back when the block raises.

        The caller is decorated with ``completes``, or is a task that is never cancelled.
        Raises StoreUnavailableError when the database does not answer or stays locked.
        """
        with _translated():
            async with self._turn() as busy_ms, self.engine.connect() as connection:
                await connection.execution_options(**{_WRITES: busy_ms})
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[int]:
        """SQLite has one writer at a time; the others poll for the lock with sleeps.

        So the writers of one process queue here, first come first served: twenty at once took
        0.9 s without the queue and 0.1 s with it (on two busy cores). Yields the milliseconds that
        are left to wait for the writers of other processes: together they are the patience.
        """
        if not self.is_sqlite:
            yield BUSY_TIMEOUT_MS
            return
        patience_ms = BUSY_TIMEOUT_MS if self._patience_s is None else int(self._patience_s * 1000)
        began = self._now()
        try:
            async with asyncio.timeout(patience_ms / 1000):
                await self._turns.acquire()
        except TimeoutError as error:
            raise StoreUnavailableError("the database is locked") from error
        try:
            left_ms = patience_ms - int((self._now() - began) * 1000)
            steps = max(1, math.ceil(left_ms / _BUSY_STEP_MS))
            yield min(patience_ms, steps * _BUSY_STEP_MS)
        finally:
            self._turns.release()


def completes(
    method: Callable[_P, Coroutine[Any, Any, _R]],
) -> Callable[_P, Coroutine[Any, Any, _R]]:
    """Run to completion even when the caller is cancelled meanwhile; then raise the cancel.

    A cancel in the middle of a statement makes SQLAlchemy abandon the connection, and with
    aiosqlite the abandoned one keeps its transaction, and with it the write lock, forever
    (measured with SQLAlchemy 2.0.58, aiosqlite 0.22; ``tests/store/test_database.py``).
    """

    @functools.wraps(method)
    async def completed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await finished(method(*args, **kwargs))

    return completed


async def finished(work: Coroutine[Any, Any, _R]) -> _R:
    """Await ``work`` until it is done, even if the caller is cancelled."""
    caller = asyncio.current_task()
    # Under the caller's name: by it logs and tests tell whose work it is.
    task = asyncio.create_task(work, name=caller.get_name() if caller is not None else None)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await _patiently(asyncio.wait([task]))
        if not task.cancelled():
            task.exception()  # retrieved: the caller gets the cancel instead
        raise


async def _patiently(waiting: Awaitable[Any]) -> None:
    """A second cancel must not cut short the wait of the first."""
    future = asyncio.ensure_future(waiting)
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            continue


async def next_changes(connection: AsyncConnection, count: int = 1) -> int:
    """Reserve ``count`` change numbers in this transaction. Returns the first of them.

    The counter's row is locked until the commit, so numbers become visible in order: a
    reader that has seen number n never sees a smaller one appear later.
    """
    statement = (
        update(counters)
        .where(counters.c.name == "changes")
        .values(value=counters.c.value + count)
        .returning(counters.c.value)
    )
    last: int = (await connection.execute(statement)).scalar_one()
    return last - count + 1


def insert_into(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Returns an INSERT that can say what happens on a conflict; each dialect has its own."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def _create_engine(url: str) -> AsyncEngine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_async_engine(
            url,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=10,
            json_deserializer=_read_json,
            hide_parameters=True,
        )
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        url,
        pool_size=8,
        max_overflow=8,
        pool_timeout=30,
        json_deserializer=_read_json,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _read_json(text: str) -> Any:
    """Read a JSON column. Earlier versions stored texts that no answer can be made of."""
    return json.loads(encodable_json(text))


def _prepare_sqlite(dbapi_connection: Any, _record: object) -> None:
    # None: the driver starts no transaction of its own; _begin_sqlite does.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    dbapi_connection.run_async(_switch_to_wal)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


async def _switch_to_wal(driver: aiosqlite.Connection) -> None:
    """Set WAL mode, which the file keeps: only the first connection to a new file switches.

    Connections that open a new file at the same moment all try. SQLite lets one of them switch and
    refuses the others at once, whatever their busy timeout is; when they retry, it is done.
    """
    async for attempt in AsyncRetrying(
        retry=retry_if_exception(_is_busy),
        wait=wait_random(*_SWITCH_PAUSE_S),
        stop=stop_after_delay(BUSY_TIMEOUT_MS / 1000),
        reraise=True,
    ):
        with attempt:
            await driver.execute_fetchall("PRAGMA journal_mode=WAL")


def _is_busy(error: BaseException) -> bool:
    """Whether another connection holds a lock (an extended code's low byte is the plain one)."""
    return (
        isinstance(error, sqlite3.OperationalError)
        and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    )


def _begin_sqlite(connection: Connection) -> None:
    busy_ms = connection.get_execution_options().get(_WRITES)
    if not busy_ms:
        return
    if connection.info.get(_BUSY, BUSY_TIMEOUT_MS) != busy_ms:
        connection.execute(text(f"PRAGMA busy_timeout={int(busy_ms)}"))
        connection.info[_BUSY] = busy_ms
    connection.execute(text("BEGIN IMMEDIATE"))


_OUR_OWN_FAULT: Final = (IntegrityError, DataError, ProgrammingError, NotSupportedError)


@contextmanager
def _translated() -> Iterator[None]:
    """Raises StoreUnavailableError for an error of which the database is the cause."""
    try:
        yield
    except Exception as error:
        if _is_unavailable(error):
            raise StoreUnavailableError(_reason(error)) from error
        raise


def _is_unavailable(error: Exception) -> bool:
    """Whether the database is the cause, and the caller may try again.

    PostgreSQL's terminated backends and deadlocks arrive as a bare DBAPIError, its refusals to
    connect (starting up, too many connections) as the driver's own errors; a file that is not an
    SQLite database as a DatabaseError.
    """
    if isinstance(error, DBAPIError):
        return not isinstance(error, _OUR_OWN_FAULT)
    return isinstance(error, PoolTimeout | OSError) or type(error).__module__.startswith("asyncpg")


def _reason(error: BaseException) -> str:
    original = error.orig if isinstance(error, DBAPIError) else error
    return f"the database does not answer: {original}"
