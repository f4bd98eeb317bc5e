"""How many generations there are, by what they are doing."""

from __future__ import annotations

from sqlalchemy import func, select

from core.status import STATUSES, Status
from store.database import Database
from store.tables import generations


async def counts(database: Database) -> dict[Status, int]:
    """For every status, how many that are not deleted have it. Raises StoreUnavailableError."""
    statement = (
        select(generations.c.status, func.count())
        .where(generations.c.deleted_at.is_(None))
        .group_by(generations.c.status)
    )
    async with database.read() as connection:
        found = dict((await connection.execute(statement)).tuples().all())
    return {status: found.get(status, 0) for status in STATUSES}
