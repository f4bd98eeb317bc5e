"""The secret that signs deliveries: one, or two while it is being rotated."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select

from store.database import Database, reads, writes
from store.tables import webhook_secrets

BYTES: Final = 32
_CHANGING: Final = 0x7365_6372  # "secr"
VALID: Final = 2
"""How many sign at the same time, at most."""


class Secrets:
    """Reads and rotates it. Every method raises StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @reads
    def valid(self, connection: Connection) -> tuple[str, ...]:
        """Returns the valid secrets, newest first, in the form ``whsec_…`` (base64)."""
        newest = webhook_secrets.c.id.desc()
        statement = select(webhook_secrets.c.secret).order_by(newest).limit(VALID)
        return tuple((connection.execute(statement)).scalars())

    @writes
    def rotate(self, connection: Connection) -> str:
        """Make a new secret and return it; the newest former one stays valid beside it."""
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(BYTES)).decode()}"
        _take_turn(connection)
        connection.execute(
            insert(webhook_secrets).values(secret=secret, created_at=datetime.now(UTC))
        )
        _keep(connection, VALID)
        return secret

    @writes
    def retire(self, connection: Connection) -> None:
        """Let only the newest secret be valid."""
        _take_turn(connection)
        _keep(connection, 1)


def _take_turn(connection: Connection) -> None:
    """One transaction at a time changes them: each sees what the others have kept."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.execute(select(func.pg_advisory_xact_lock(_CHANGING)))


def _keep(connection: Connection, count: int) -> None:
    newest = select(webhook_secrets.c.id).order_by(webhook_secrets.c.id.desc()).limit(count)
    kept = (connection.execute(newest)).scalars().all()
    connection.execute(delete(webhook_secrets).where(webhook_secrets.c.id.not_in(kept)))
