"""The number of generations by status."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select

from core.status import FINAL, STATUSES, Status
from store.database import Database
from store.tables import generations


async def counts(database: Database) -> dict[Status, int]:
    """Returns the number of undeleted generations per status. Raises StoreUnavailableError."""
    return await _counts(database, generations.c.deleted_at.is_(None), STATUSES)


async def counts_under_way(database: Database) -> dict[Status, int]:
    """Returns the number of those that have not ended, per status. Raises StoreUnavailableError.

    Quick, however many have ended: an index has all that it needs, as a deleted one has ended.
    """
    under_way = [status for status in STATUSES if status not in FINAL]
    return await _counts(database, generations.c.status.in_(under_way), under_way)


async def _counts(
    database: Database, condition: ColumnElement[bool], statuses: Sequence[Status]
) -> dict[Status, int]:
    statement = (
        select(generations.c.status, func.count()).where(condition).group_by(generations.c.status)
    )
    found = await database.read(
        lambda connection: dict(connection.execute(statement).tuples().all())
    )
    return {status: found.get(status, 0) for status in statuses}
