"""The dispatch outbox: what Prefect has still to be told, kept until it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import case, delete, func, or_, select, update

from store.database import Database, completes
from store.tables import dispatches
from store.values import Dispatch

LONGEST_POSTPONEMENT: Final = timedelta(minutes=1)


class Outbox:
    """Intents written beside the rows that they concern; each is removed once it is done."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, limit: int) -> tuple[Dispatch, ...]:
        """What is to be done now: cancels, then interactive before bulk, then in their order.

        What seems due later than anything is ever postponed was written before the clock was set
        back: it is due too.
        """
        now = datetime.now(UTC)
        statement = (
            select(dispatches)
            .where(
                or_(dispatches.c.due_at <= now, dispatches.c.due_at > now + LONGEST_POSTPONEMENT)
            )
            .order_by(
                case((dispatches.c.action == "cancel", 0), else_=1),
                dispatches.c.priority.desc(),
                dispatches.c.id,
            )
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings()
            return tuple(Dispatch.from_row(row) for row in rows)

    async def count(self) -> int:
        """How much waits, due or not."""
        async with self._database.read() as connection:
            found = await connection.execute(select(func.count()).select_from(dispatches))
            return found.scalar_one()

    @completes
    async def done(self, dispatch_id: int) -> None:
        """Prefect was told."""
        async with self._database.write() as connection:
            await connection.execute(delete(dispatches).where(dispatches.c.id == dispatch_id))

    @completes
    async def postpone(self, dispatch_id: int, error: str, delay_s: float) -> None:
        """Prefect did not answer: again in ``delay_s`` seconds, a minute at most."""
        async with self._database.write() as connection:
            await connection.execute(
                update(dispatches)
                .where(dispatches.c.id == dispatch_id)
                .values(
                    tries=dispatches.c.tries + 1,
                    due_at=datetime.now(UTC)
                    + min(timedelta(seconds=delay_s), LONGEST_POSTPONEMENT),
                    error=error[:2000],
                )
            )
