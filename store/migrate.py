"""Migrations: run at start, never by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, column, inspect, select, table, text

from store.database import Database
from store.errors import NewerStoreError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
NEWEST: Final = max(file.name for file in MIGRATIONS.glob("versions/[0-9]*.py"))[:4]
"""The newest migration: the number that its file begins with."""
ADVISORY_LOCK: Final = 0x6561_7365_6C  # "easel"
"""Whoever migrates a PostgreSQL database has this lock."""
_VERSIONS: Final = table("alembic_version", column("version_num"))


async def migrate(database: Database) -> None:
    """Bring the schema up to date. Processes that start together take turns.

    Raises StoreUnavailableError, NewerStoreError.
    """
    current = await revision(database)
    if current == NEWEST:  # as at nearly every start: nothing waits for a lock
        return
    confirm_known(current)

    def write(connection: Connection) -> None:
        if not database.is_sqlite:  # SQLite's BEGIN IMMEDIATE is the lock
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
        upgrade(connection)

    await database.write(write)


def confirm_known(current: str | None) -> None:
    """Make sure that this version knows a database's migration. Raises NewerStoreError."""
    if current is not None and current > NEWEST:
        raise NewerStoreError(current, NEWEST)


async def revision(database: Database) -> str | None:
    """Returns the database's migration; None when it has none. Changes nothing.

    Raises StoreUnavailableError.
    """
    return await database.read(_revision)


def upgrade(connection: Connection, to: str = "head") -> None:
    """Bring the schema to a migration, in the caller's transaction."""
    from alembic import command  # 0.08 s of a start that has nothing to migrate
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSIONS.name):
        return None
    found: str | None = connection.execute(select(_VERSIONS.c.version_num)).scalar_one_or_none()
    return found
