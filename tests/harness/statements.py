"""Which statements a database executes, counted at its engine, and how it would find rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, SelectBase, event, text

from store.database import Database
from store.sqlite import caller
from tests.harness.transactions import open_read


def statements_of(database: Database, task: str | None = None) -> AbstractContextManager[list[str]]:
    """What the tasks of that name execute meanwhile; by default, what the current task does."""
    wanted = task or _task_name()
    return _statements(database, lambda name: name == wanted)


def statements_of_requests(database: Database) -> AbstractContextManager[list[str]]:
    """What the tasks without a name execute meanwhile: a server's requests.

    The loops, which poll at intervals, have names.
    """
    return _statements(database, lambda name: name.startswith("Task-"))


async def plan_of(database: Database, statement: SelectBase) -> str:
    """How the database would find what a statement selects."""
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    dialect = database.engine.dialect
    compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    async with open_read(database) as connection:
        if not database.is_sqlite:  # of a table with few rows all are read
            await connection.execute(text("SET enable_seqscan = off"))
        found = await connection.execute(text(f"{explain} {compiled}".replace(":", "\\:")))
        return "\n".join(str(row) for row in found)


async def plans_of(database: Database, work: Awaitable[Any]) -> str:
    """How the database finds what the statements of some work select."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        await work
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"

    def explained(connection: Connection) -> list[str]:
        if not database.is_sqlite:
            connection.execute(text("SET enable_seqscan = off"))
        return [
            str(row)
            for statement, values in seen
            for row in connection.exec_driver_sql(f"{explain} {statement}", values)
        ]

    return "\n".join(await database.read(explained))


@contextmanager
def _statements(database: Database, is_counted: Callable[[str], bool]) -> Iterator[list[str]]:
    engine = database.engine
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if is_counted(_task_name()) and not statement.startswith("PRAGMA"):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _task_name() -> str:
    """Of the task whose work this is: a thread does that of SQLite."""
    if caller.get():
        return caller.get()
    task = asyncio.current_task()
    return task.get_name() if task is not None else ""
