"""SQLite: one thread that writes, a few that read.

The file is in WAL mode with ``synchronous=FULL``: what is committed survives a power cut. Write
transactions begin IMMEDIATE, because a deferred one that turns into a writer fails at once when
another writer is ahead, whatever the busy timeout says.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import URL
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from store.completion import patiently
from store.errors import StoreUnavailableError
from store.json import read_json
from store.signals import Datagrams, Hearing, pending
from store.unavailable import translated

BUSY_TIMEOUT_MS: Final = 10_000
"""How long a write waits for other writers before it gives up, unless a database says less."""
_BUSY_STEP_MS: Final = 500
"""What is left of that wait is rounded up to these, so that it is rarely set anew."""
_SWITCH_PAUSE_S: Final = (0.005, 0.05)
"""Shortest and longest pause before the switch to WAL is tried again."""
READERS: Final = 6
"""Threads that read: so many reads of one process run at once."""
_BUSY: Final = "easel_busy_ms"
_DURABLE: Final = "easel_durable"
_R = TypeVar("_R")
caller: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("caller", default="")
"""The name of the task whose work a thread does: by it tests tell whose statements they see."""


class Sqlite:
    """A file of SQLite. Raises StoreUnavailableError when its folder cannot be made."""

    is_sqlite: Final = True

    def __init__(
        self, url: URL, hearing: Hearing, *, patience_s: float | None, now: Callable[[], float]
    ) -> None:
        self._now = now
        self._patience_s = patience_s
        with translated():
            self.engine = _create_engine(url)
        self._signals = Datagrams(Path(url.database or ""), hearing.tell)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store reader")
        self._is_closed = False

    @property
    def hears(self) -> bool:
        """Whether signals of other processes arrive."""
        return self._signals.is_open

    async def hear(self) -> None:
        """Let signals arrive."""
        made = self._signals.open()
        if made is not None:
            asyncio.get_running_loop().add_reader(made, self._signals.read)
            self._reading = made

    async def close(self) -> None:
        """Finish what was begun, and close every connection."""
        self._is_closed = True
        if self.hears:
            asyncio.get_running_loop().remove_reader(self._reading)
        for threads in (self._writer, self._readers):
            await patiently(asyncio.to_thread(threads.shutdown, cancel_futures=False))
        self._signals.close()
        self.engine.dispose()

    async def read(self, work: Callable[[Connection], _R]) -> _R:
        """Each statement sees what is committed when it runs."""
        reading = _Reading()

        def call() -> _R:
            with self.engine.connect() as connection, reading.of(connection):
                return work(connection)

        return await self._done(self._readers, call, reading.interrupt)

    async def write(self, work: Callable[[Connection], _R], *, durable: bool) -> _R:
        """The writers of one process queue here, first come first served.

        SQLite has one writer at a time; the others would poll for the lock with sleeps.
        """
        began = self._now()

        def call() -> _R:
            with self.engine.connect() as connection:
                self._begin(connection, self._now() - began, durable=durable)
                with connection.begin():
                    result = work(connection)
                signals = pending(connection)
            self._signals.send(signals)
            return result

        return await self._done(self._writer, call)

    def _begin(self, connection: Connection, waited_s: float, *, durable: bool) -> None:
        """Its patience covers the writers here and in other processes together."""
        patience_ms = BUSY_TIMEOUT_MS if self._patience_s is None else int(self._patience_s * 1000)
        left_ms = patience_ms - int(waited_s * 1000)
        if left_ms <= 0:
            raise StoreUnavailableError("the database is locked")
        busy_ms = min(patience_ms, math.ceil(left_ms / _BUSY_STEP_MS) * _BUSY_STEP_MS)
        driver = _driver(connection)
        if connection.info.get(_BUSY) != busy_ms:
            driver.execute(f"PRAGMA busy_timeout={busy_ms}")
            connection.info[_BUSY] = busy_ms
        if connection.info.get(_DURABLE, True) != durable:
            driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.info[_DURABLE] = durable
        driver.execute("BEGIN IMMEDIATE")

    async def _done(
        self,
        threads: ThreadPoolExecutor,
        call: Callable[[], _R],
        interrupt: Callable[[], None] | None = None,
    ) -> _R:
        """Await what a thread does. When the caller is cancelled, what has begun is finished."""
        task = asyncio.current_task()
        context = contextvars.copy_context()
        context.run(caller.set, task.get_name() if task is not None else "")
        with translated():
            doing = self._submit(threads, context, call)
            waiting = asyncio.wrap_future(doing)
            try:
                return await asyncio.shield(waiting)
            except asyncio.CancelledError:
                if doing.cancel():  # it has not begun
                    raise
                if interrupt is not None:
                    interrupt()
                await patiently(asyncio.wait([waiting]))
                waiting.exception()  # retrieved: the caller gets the cancel instead
                raise

    def _submit(
        self, threads: ThreadPoolExecutor, context: contextvars.Context, call: Callable[[], _R]
    ) -> Future[_R]:
        if self._is_closed:
            raise StoreUnavailableError("the store is closed")
        return threads.submit(context.run, call)


class _Reading:
    """A read that can be interrupted from another thread, but only while it has its connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._driver: sqlite3.Connection | None = None
        self._is_unwanted = False

    def of(self, connection: Connection) -> _Reading:
        self._connection = connection
        return self

    def __enter__(self) -> None:
        with self._lock:
            if self._is_unwanted:
                raise StoreUnavailableError("the read was cancelled")
            self._driver = _driver(self._connection)

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._driver = None

    def interrupt(self) -> None:
        """End the statement that runs now, if one does."""
        with self._lock:
            self._is_unwanted = True
            if self._driver is not None:
                self._driver.interrupt()


def _create_engine(url: URL) -> Engine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url.set(drivername="sqlite"),
        poolclass=QueuePool,
        pool_size=READERS + 1,
        max_overflow=-1,
        pool_use_lifo=True,
        # Each thread has it in turn.
        connect_args={"check_same_thread": False},
        json_deserializer=read_json,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare)
    return engine


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _prepare(driver: Any, _record: object) -> None:
    driver.isolation_level = None  # the driver begins no transaction of its own
    driver.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _switch_to_wal(driver)
    driver.execute("PRAGMA synchronous=FULL")
    driver.execute("PRAGMA foreign_keys=ON")


def _switch_to_wal(driver: sqlite3.Connection) -> None:
    """Set WAL mode, which the file keeps: only the first connection to a new file switches.

    Connections that open a new file at the same moment all try. SQLite lets one of them switch and
    refuses the others at once, whatever their busy timeout is; when they retry, it is done.
    """
    for attempt in Retrying(
        retry=retry_if_exception(_is_busy),
        wait=wait_random(*_SWITCH_PAUSE_S),
        stop=stop_after_delay(BUSY_TIMEOUT_MS / 1000),
        reraise=True,
    ):
        with attempt:
            driver.execute("PRAGMA journal_mode=WAL").fetchall()


def _is_busy(error: BaseException) -> bool:
    """Whether another connection holds a lock (an extended code's low byte is the plain one)."""
    return (
        isinstance(error, sqlite3.OperationalError)
        and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    )
