"""The schema in the database is the one in ``tables``, however often and by how many it is made."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Connection,
    DateTime,
    Integer,
    String,
    Uuid,
    column,
    insert,
    select,
    table,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, StatementError

from store.database import BUSY_TIMEOUT_MS, Database
from store.generations.dispatches import attempt_of
from store.migrate import ADVISORY_LOCK, MIGRATIONS, NEWEST, migrate, revision, upgrade
from store.search.index import SEARCH
from store.store import Store
from store.tables import attempts, counters, generations, metadata
from store.values import ProgressRecord, Waiting
from tests.store.making import NEVER, RUNNER, accepted, running, taken


def differences(connection: Connection) -> list[Any]:
    """What the migrations made otherwise; the search index, which no ``Table`` describes, aside."""
    options = {
        "compare_type": True,
        "include_name": lambda name, kind, _: kind != "table" or not name.startswith(SEARCH.name),
    }
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))


def test_the_newest_migration_is_alembics_newest() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == NEWEST


async def test_migrations_make_the_tables_as_they_are_declared(empty_url: str) -> None:
    async with Database(empty_url) as database:
        assert await revision(database) is None
        await migrate(database)
        assert await revision(database) == NEWEST
        async with database.write() as connection:
            assert await connection.run_sync(differences) == []


async def test_a_second_migration_changes_nothing(store: Store) -> None:
    made = await accepted(store)
    await migrate(store.database)

    assert await store.generations.get(made.id) == made
    async with store.database.read() as connection:
        found = (await connection.execute(select(counters))).tuples().all()
        versions = await connection.execute(text("SELECT version_num FROM alembic_version"))
        assert len(versions.all()) == 1
    assert found == [("changes", made.change)]


async def test_a_start_with_nothing_to_migrate_waits_for_no_writer(store: Store) -> None:
    async with store.database.write() as connection, Database(store.database.url) as another:
        if not store.database.is_sqlite:  # where this is what migrations wait for
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
        async with asyncio.timeout(BUSY_TIMEOUT_MS / 1000):
            await migrate(another)


async def test_processes_that_start_together_take_turns(empty_url: str) -> None:
    databases = [Database(empty_url) for _ in range(4)]

    await asyncio.gather(*(migrate(database) for database in databases))

    async with databases[0].read() as connection:
        assert (await connection.execute(select(counters))).tuples().all() == [("changes", 0)]
    for database in databases:
        await database.close()


async def test_none_is_null_and_not_the_word(store: Store) -> None:
    made = await accepted(store)
    claim = await running(store, made.id)
    away = Waiting("waiting_for_comfyui", "away")
    await store.transitions.record_progress(claim, ProgressRecord(1.0), None, away)
    await store.transitions.record_progress(claim, None, None, None)
    await store.transitions.cancelled(claim)

    async with store.database.read() as connection:
        for table, columns in (
            (generations, ("progress", "waiting", "error")),
            (attempts, ("error",)),
        ):
            for name in columns:
                column = table.c[name]
                nulls = await connection.execute(select(table).where(column.is_(None)))
                assert len(nulls.all()) == 1, name


async def test_times_without_a_time_zone_are_refused(store: Store) -> None:
    await accepted(store)
    naive = datetime.now(UTC).replace(tzinfo=None)

    with pytest.raises(StatementError, match="time zone"):
        async with store.database.write() as connection:
            await connection.execute(update(generations).values(created_at=naive))


async def test_an_attempt_belongs_to_a_generation(store: Store) -> None:
    orphan = {"generation_id": NEVER, "number": 1, "prompt_id": "x"}

    with pytest.raises(IntegrityError):
        async with store.database.write() as connection:
            await connection.execute(
                insert(attempts).values(created_at=datetime.now(UTC), **orphan)
            )


async def test_what_waited_to_be_dispatched_is_moved_to_the_outbox(
    empty_url: str, tmp_path: Path
) -> None:
    """Revision 0004: in its order, with its tries, and due, though it had been put off."""
    dispatches = table(
        "dispatches",
        column("generation_id", Uuid()),
        *(column(name, Integer()) for name in ("attempt", "tries")),
        *(column(name, String()) for name in ("action", "priority", "error")),
        *(column(name, DateTime(timezone=True)) for name in ("created_at", "due_at")),
    )
    now = datetime.now(UTC)
    waiting = [("start", "bulk", 1), ("start", "interactive", 2), ("forget", "interactive", 1)]
    waiting += [("cancel", "bulk", 3)]
    subjects = [uuid.uuid4() for _ in waiting]
    async with Database(empty_url) as database, database.write() as connection:
        await connection.run_sync(upgrade, "0003")
        for number, (action, priority, attempt) in enumerate(waiting):
            await connection.execute(
                insert(dispatches).values(
                    generation_id=subjects[number],
                    attempt=attempt,
                    action=action,
                    priority=priority,
                    created_at=now + timedelta(seconds=number),
                    due_at=now + timedelta(seconds=15),
                    tries=number,
                    error="Prefect does not answer" if number else None,
                )
            )

    async with Store(empty_url, str(tmp_path / "images")) as store:
        moved = await taken(store)
        async with store.database.read() as connection:
            tables = await connection.run_sync(lambda c: sqlalchemy.inspect(c).get_table_names())

    assert [(e.kind, attempt_of(e), e.subject, e.tries) for e in moved] == [
        ("prefect.cancel", 3, subjects[3], 3),
        ("prefect.start", 2, subjects[1], 1),
        ("prefect.forget", 1, subjects[2], 2),
        ("prefect.start", 1, subjects[0], 0),
    ]
    assert [e.created_at - now for e in moved] == [timedelta(seconds=n) for n in (3, 1, 2, 0)]
    assert {(e.lane, e.claimed_by) for e in moved} == {("prefect", RUNNER)}
    assert "dispatches" not in tables
