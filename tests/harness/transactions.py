"""Transactions that a test holds open between its own steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.util.concurrency import await_only, in_greenlet

from store.database import Database

_R = TypeVar("_R")


class OpenTransaction:
    """A transaction under way: each step is taken where the store's own work would be."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._steps: asyncio.Queue[Callable[[Connection], bool]] = asyncio.Queue()
        self.begun = asyncio.Event()

    async def run_sync(
        self,
        step: Callable[..., _R],
        *args: Any,
        **kwargs: Any,
    ) -> _R:
        """Returns what the step returns, which must be read from the database by then."""
        done: Future[_R] = Future()

        def take(connection: Connection) -> bool:
            try:
                done.set_result(step(connection, *args, **kwargs))
            except Exception as error:  # noqa: BLE001 - the test gets it
                done.set_exception(error)
            return True

        self._steps.put_nowait(take)
        return await asyncio.wrap_future(done)

    async def execute(self, statement: Executable, values: Any = None) -> CursorResult[Any]:
        """Returns the rows, which are all here."""
        return await self.run_sync(_executed, statement, values)

    def end(self, error: BaseException | None = None) -> None:
        """Commit it, or roll it back with an error."""

        def take(_connection: Connection) -> bool:
            if error is not None:
                raise error
            return False

        self._steps.put_nowait(take)

    def carry_out(self, connection: Connection) -> None:
        """Take the steps, until there are no more."""
        self._loop.call_soon_threadsafe(self.begun.set)
        while self._next()(connection):
            pass

    def _next(self) -> Callable[[Connection], bool]:
        if in_greenlet():  # PostgreSQL's work is done in the loop's thread
            return await_only(self._steps.get())
        return asyncio.run_coroutine_threadsafe(self._steps.get(), self._loop).result()


def _executed(connection: Connection, statement: Executable, values: Any) -> CursorResult[Any]:
    result = connection.execute(statement, values)
    return cast("CursorResult[Any]", result.freeze()()) if result.returns_rows else result


def open_write(database: Database) -> AbstractAsyncContextManager[OpenTransaction]:
    """A write: committed at the end of the block, rolled back when the block raises."""
    return _opened(database.write)


def open_read(database: Database) -> AbstractAsyncContextManager[OpenTransaction]:
    """A read, on one connection."""
    return _opened(database.read)


@asynccontextmanager
async def _opened(
    begin: Callable[[Callable[[Connection], None]], Coroutine[Any, Any, None]],
) -> AsyncIterator[OpenTransaction]:
    transaction = OpenTransaction()
    caller = asyncio.current_task()
    running = asyncio.create_task(
        begin(transaction.carry_out), name=caller.get_name() if caller is not None else None
    )
    begun = asyncio.create_task(transaction.begun.wait())
    await asyncio.wait([running, begun], return_when=asyncio.FIRST_COMPLETED)
    begun.cancel()
    if running.done():
        await running
    try:
        yield transaction
    except BaseException as error:
        transaction.end(error)
        await running
        raise
    transaction.end()
    await running
