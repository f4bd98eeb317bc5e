"""One suite, two databases: SQLite always, PostgreSQL when EASEL_TEST_POSTGRES_URL names a server.

The URL is that of any database on the server, as a role that may create databases:
``postgresql+asyncpg://easel@127.0.0.1/postgres``. Every test gets a database that no other has: a
new one of SQLite; on PostgreSQL, where making and dropping one takes longer than most tests, the
process's own, emptied.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from store.database import Database
from store.search.index import SEARCH
from store.store import Store
from store.tables import metadata
from tests.harness.databases import a_store, at_once, migrated
from tests.store.making import END_THE_OTHERS

POSTGRES_URL = os.environ.get("EASEL_TEST_POSTGRES_URL")
_EMPTY = (
    END_THE_OTHERS.text,
    *(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)),
    f"DELETE FROM {SEARCH.name}",
    "INSERT INTO counters (name, value) VALUES ('changes', 0)",
    "INSERT INTO identity (id, created_at) VALUES (gen_random_uuid(), now())",
    "INSERT INTO webhook_secrets (secret, created_at) VALUES ('whsec_dGVzdHM=', now())",
    "ALTER SEQUENCE outbox_id_seq RESTART",
)
"""Statements; what they put back stands in the migrations."""
_NO_POSTGRES = pytest.mark.skip(reason="EASEL_TEST_POSTGRES_URL is not set")


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=() if POSTGRES_URL else _NO_POSTGRES),
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database a test runs on."""
    return str(request.param)


@pytest.fixture
async def empty_url(kind: str, tmp_path: Path) -> AsyncIterator[str]:
    """A database without tables."""
    if kind == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'easel.db'}"
        return
    name = _a_name()
    await _administer(f'CREATE DATABASE "{name}"')
    yield _postgres(name)
    await _administer(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A database with its tables, as migrations leave them."""
    if kind == "sqlite":
        yield a_store(tmp_path / "easel.db")
        return
    url = request.getfixturevalue("postgres_url")
    yield url
    await _emptied(url)


@pytest.fixture
async def store(url: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(url, str(tmp_path / "images")) as store:
        yield store


@pytest.fixture
async def fresh_store(empty_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """A store in a database of its own, for plans of statements.

    That of the other tests may have statistics of what they wrote, or of nothing.
    """
    await migrated(empty_url)
    async with Store(empty_url, str(tmp_path / "images")) as store:
        yield store


@pytest.fixture
async def second(store: Store, url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """The same store, as another process has it open."""
    async with Store(url, str(tmp_path / "images")) as second:
        yield second


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(Database(url))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The one database of this process that its tests have in turn."""
    name = _a_name()
    at_once(_administer(f'CREATE DATABASE "{name}"'))
    at_once(migrated(_postgres(name)))
    yield _postgres(name)
    at_once(_administer(f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _emptied(url: str) -> None:
    """End what a test left connected, and leave the tables as the migrations made them.

    DELETE, for TRUNCATE makes a new file for each table and index.
    """
    dsn = make_url(url).set(drivername="postgresql")
    connection = await asyncpg.connect(dsn.render_as_string(hide_password=False))
    await connection.execute(";".join(_EMPTY))
    await connection.close()


def _a_name() -> str:
    return f"easel_test_{uuid.uuid4().hex}"


def _postgres(name: str) -> str:
    assert POSTGRES_URL is not None
    return make_url(POSTGRES_URL).set(database=name).render_as_string(hide_password=False)


async def _administer(statement: str) -> None:
    assert POSTGRES_URL is not None
    engine = create_async_engine(POSTGRES_URL, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()
