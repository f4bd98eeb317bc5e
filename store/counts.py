"""The number of generations by status."""

from __future__ import annotations

from sqlalchemy import func, select

from core.status import STATUSES, Status
from store.database import Database
from store.tables import generations


async def counts(database: Database) -> dict[Status, int]:
    """Returns the number of undeleted generations per status. Raises StoreUnavailableError."""
    statement = (
        select(generations.c.status, func.count())
        .where(generations.c.deleted_at.is_(None))
        .group_by(generations.c.status)
    )
    found = await database.read(
        lambda connection: dict(connection.execute(statement).tuples().all())
    )
    return {status: found.get(status, 0) for status in STATUSES}
