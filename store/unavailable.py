"""Which errors of a database mean that it does not answer now."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from store.errors import StoreUnavailableError

_OUR_OWN_FAULT: Final = (IntegrityError, DataError, ProgrammingError, NotSupportedError)


@contextmanager
def translated() -> Iterator[None]:
    """Raises StoreUnavailableError for an error of which the database is the cause."""
    try:
        yield
    except Exception as error:
        if _is_unavailable(error):
            raise unavailable(error) from error
        raise


def unavailable(error: BaseException) -> StoreUnavailableError:
    """Returns what to raise instead."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return StoreUnavailableError(f"the database does not answer: {original}")


def _is_unavailable(error: Exception) -> bool:
    """Whether the database is the cause, and the caller may try again.

    PostgreSQL's terminated backends and deadlocks arrive as a bare DBAPIError, its refusals to
    connect (starting up, too many connections) as the driver's own errors; a file that is not an
    SQLite database as a DatabaseError.
    """
    if isinstance(error, DBAPIError):
        return not isinstance(error, _OUR_OWN_FAULT)
    if isinstance(error, PoolTimeout | OSError | sqlite3.OperationalError):
        return True
    return type(error).__module__.startswith("asyncpg")
