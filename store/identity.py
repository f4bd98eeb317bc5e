"""The store's identity: which store this is, wherever its database is moved to."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, select

from store.database import Database
from store.tables import identity


async def identity_of(database: Database) -> UUID:
    """Returns the identity that the first migration to have one gave this store.

    A copy of the database has it too: a backup that is restored is the same store.
    Raises StoreUnavailableError.
    """

    def read(connection: Connection) -> UUID:
        found: UUID = connection.execute(select(identity.c.id)).scalar_one()
        return found

    return await database.read(read)
