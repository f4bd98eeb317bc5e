"""The number of generations by status."""

from __future__ import annotations

from sqlalchemy import func, select

from core.status import FINAL, STATUSES, Status
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


async def counts_under_way(database: Database) -> dict[Status, int]:
    """Returns the number of those that have not ended, per status. Raises StoreUnavailableError.

    Quick, however many have ended: an index has all that it needs, as a deleted one has ended.
    """
    under_way = [status for status in STATUSES if status not in FINAL]
    statement = (
        select(generations.c.status, func.count())
        .where(generations.c.status.in_(under_way))
        .group_by(generations.c.status)
    )
    found = await database.read(
        lambda connection: dict(connection.execute(statement).tuples().all())
    )
    return {status: found.get(status, 0) for status in under_way}
