"""Which statements a database executes: counted at its engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from store.database import Database


@contextmanager
def statements_of(database: Database, task: str | None = None) -> Iterator[list[str]]:
    """What the tasks of that name execute meanwhile; by default, what the current task does.

    The loops of a store poll in tasks of their own.
    """
    engine = database.engine.sync_engine
    wanted = task or _task_name()
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if _task_name() == wanted and not statement.startswith("PRAGMA"):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _task_name() -> str:
    task = asyncio.current_task()
    return task.get_name() if task is not None else ""
