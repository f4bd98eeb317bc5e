"""PostgreSQL, by asyncpg: each piece of work is one transaction on a connection of its pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, NullPool, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from core.loop import Loop
from store.completion import finished
from store.errors import StoreUnavailableError
from store.json import read_json
from store.signals import SIGNALS, Hearing, pending
from store.unavailable import translated

_CHANNEL: Final = "easel"
_LISTEN_AGAIN_S: Final = 1.0
_NOTIFY: Final = text(
    "SELECT pg_notify(CAST(:channel AS text), name) FROM unnest(CAST(:names AS text[])) AS name"
)
_R = TypeVar("_R")


class Postgresql:
    """A database of a PostgreSQL server."""

    is_sqlite: Final = False

    def __init__(self, url: URL, hearing: Hearing) -> None:
        self._engine = create_async_engine(
            url,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=10,
            json_deserializer=read_json,
            hide_parameters=True,
        )
        self.engine = self._engine.sync_engine
        # Not from the pool: its connection is never given back.
        self._to_listen = create_async_engine(url, poolclass=NullPool, hide_parameters=True)
        self._listener = _Listener(self._to_listen.raw_connection, hearing)
        self._is_closed = False

    @property
    def hears(self) -> bool:
        """Whether signals of other processes arrive."""
        return self._listener.is_open

    async def hear(self) -> None:
        """Let signals arrive."""
        await self._listener.start()

    async def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        await self._listener.stop()
        await self._to_listen.dispose()
        await self._engine.dispose()

    async def read(self, work: Callable[[Connection], _R]) -> _R:
        """Each statement sees what is committed when it runs."""
        self._confirm_open()
        with translated():
            async with self._engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                return await connection.run_sync(work)

    async def write(self, work: Callable[[Connection], _R], *, durable: bool) -> _R:
        """A write that was begun is finished, also when its caller is cancelled."""
        self._confirm_open()
        return await finished(self._write(work, durable=durable))

    async def _write(self, work: Callable[[Connection], _R], *, durable: bool) -> _R:
        with translated():
            async with self._engine.connect() as connection, connection.begin():
                if not durable:
                    await connection.execute(text("SET LOCAL synchronous_commit TO OFF"))
                return await connection.run_sync(_with_signals, work)

    def _confirm_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailableError("the store is closed")


def _with_signals(connection: Connection, work: Callable[[Connection], _R]) -> _R:
    """They are sent with the commit: NOTIFY is a part of the transaction."""
    result = work(connection)
    if names := pending(connection):
        connection.execute(_NOTIFY, {"channel": _CHANNEL, "names": list(names)})
    return result


class _Listener:
    """Hears NOTIFY on a connection of its own, which is opened again when it is lost."""

    def __init__(self, connect: Callable[[], Any], hearing: Hearing) -> None:
        self._connect = connect
        self._hearing = hearing
        self._connection: Any = None
        self._loop = Loop(
            "listening to PostgreSQL",
            self._listen,
            every_s=_LISTEN_AGAIN_S,
            expected=(StoreUnavailableError,),
        )

    @property
    def is_open(self) -> bool:
        return self._connection is not None and not self._connection.driver_connection.is_closed()

    async def start(self) -> None:
        await self._listen()
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()
        self._release()

    async def _listen(self) -> None:
        if self.is_open:
            return
        self._release()
        with translated():
            made = await self._connect()
            try:
                await made.driver_connection.add_listener(_CHANNEL, self._heard)
            except BaseException:
                made.invalidate()
                raise
        self._connection = made
        self._hearing.tell(SIGNALS)  # what was sent meanwhile is lost

    def _heard(self, _connection: object, _process: int, _channel: str, name: str) -> None:
        self._hearing.tell([name])

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None
