"""The schema in the database is the one in ``tables``, however often and by how many it is made."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import (
    Connection,
    DateTime,
    Integer,
    MetaData,
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

from core.batches.request import BatchOptions
from core.workflows.plan import Plan
from store.callbacks.values import DeliveryFilter
from store.database import Database
from store.generations.dispatches import attempt_of
from store.migrate import ADVISORY_LOCK, MIGRATIONS, NEWEST, migrate, revision, upgrade
from store.search.index import SEARCH
from store.sqlite import BUSY_TIMEOUT_MS
from store.store import Store
from store.tables import (
    artefact_references,
    attempts,
    batch_items,
    counters,
    generations,
    metadata,
    outbox,
)
from store.values import ProgressRecord, Waiting
from tests.harness.transactions import open_read, open_write
from tests.store.batch_making import being_accepted, new_items
from tests.store.callback_making import EVERY, URL, asked, batch_running
from tests.store.making import (
    NEVER,
    OUT_OF_MEMORY,
    RUNNER,
    a_request,
    accepted,
    an_image,
    running,
    taken,
)


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
        async with open_write(database) as connection:
            assert await connection.run_sync(differences) == []


async def test_a_second_migration_changes_nothing(store: Store) -> None:
    made = await accepted(store)
    await migrate(store.database)

    assert await store.generations.get(made.id) == made
    async with open_read(store.database) as connection:
        found = (await connection.execute(select(counters))).tuples().all()
        versions = await connection.execute(text("SELECT version_num FROM alembic_version"))
        assert len(versions.all()) == 1
    assert found == [("changes", made.change)]


async def test_a_start_with_nothing_to_migrate_waits_for_no_writer(store: Store) -> None:
    async with open_write(store.database) as connection, Database(store.database.url) as another:
        if not store.database.is_sqlite:  # where this is what migrations wait for
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
        async with asyncio.timeout(BUSY_TIMEOUT_MS / 1000):
            await migrate(another)


async def test_processes_that_start_together_take_turns(empty_url: str) -> None:
    databases = [Database(empty_url) for _ in range(4)]

    await asyncio.gather(*(migrate(database) for database in databases))

    async with open_read(databases[0]) as connection:
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

    async with open_read(store.database) as connection:
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
        async with open_write(store.database) as connection:
            await connection.execute(update(generations).values(created_at=naive))


async def test_an_attempt_belongs_to_a_generation(store: Store) -> None:
    orphan = {"generation_id": NEVER, "number": 1, "prompt_id": "x"}

    with pytest.raises(IntegrityError):
        async with open_write(store.database) as connection:
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
    async with Database(empty_url) as database, open_write(database) as connection:
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
        async with open_read(store.database) as connection:
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


async def test_rows_from_before_there_were_callbacks_have_none(
    empty_url: str, tmp_path: Path
) -> None:
    """Revision 0008: what is under way goes on, and ends without an event."""
    generation, batch, waiting = (uuid.uuid4() for _ in range(3))
    async with Database(empty_url) as database, open_write(database) as connection:
        await connection.run_sync(upgrade, "0007")
        await connection.run_sync(_as_in_0007, generation, batch, waiting)

    async with Store(empty_url, str(tmp_path / "images")) as store:
        assert (await store.generations.get(generation)).callback is None
        assert (await store.batches.get(batch)).callback is None
        claim = await running(store, generation)
        assert await store.batch_transitions.release(batch, 1) == 1
        assert (await store.generations.get(waiting)).callback is None
        await store.transitions.succeed(claim, [])
        await store.batch_transitions.finish(batch, "succeeded")
        assert (await store.deliveries.page(DeliveryFilter(), 10, None)).items == ()
        assert len(await store.secrets.valid()) == 1
        assert await store.callbacks.all() == ()


def _as_in_0007(connection: Connection, generation: UUID, batch: UUID, waiting: UUID) -> None:
    """Insert a generation of a batch, and an item that waits, in the tables as they are."""
    found = MetaData()
    found.reflect(connection, only=["generations", "attempts", "batches", "batch_items"])
    now, request = datetime.now(UTC), a_request().model_dump(mode="json")

    def add(name: str, /, **values: Any) -> None:
        of_sqlite = connection.dialect.name == "sqlite"
        plain = {
            key: value.hex if of_sqlite and isinstance(value, UUID) else value
            for key, value in values.items()
        }
        connection.execute(insert(found.tables[name]).values(**plain))

    add(
        "batches",
        id=batch,
        seq=1,
        status="running",
        name="foxes",
        seed=7,
        options=BatchOptions().model_dump(mode="json"),
        total=2,
        cost=1.0,
        released=1,
        to_retry=0,
        run_number=1,
        started_at=now,
        created_at=now,
    )
    add(
        "generations",
        id=generation,
        seq=2,
        change=2,
        status="queued",
        sequence=1,
        attempt=1,
        fence=0,
        priority="bulk",
        request=request,
        cost=1.0,
        batch_id=batch,
        created_at=now,
    )
    add(
        "attempts",
        generation_id=generation,
        number=1,
        prompt_id="p",
        created_at=now,
    )
    items = ((0, generation, None), (1, waiting, request))
    for position, generation_id, unreleased in items:
        add(
            "batch_items",
            batch_id=batch,
            position=position,
            turn=position,
            row=position,
            generation_id=generation_id,
            request=unreleased,
            again=False,
        )


async def test_back_to_the_version_before_callbacks(empty_url: str, tmp_path: Path) -> None:
    """All that it knows is as it was; what it cannot do is gone from its outbox."""
    async with Store(empty_url, str(tmp_path / "images")) as store:
        made = await asked(store)
        await store.transitions.fail(await running(store, made.id), OUT_OF_MEMORY)
        batch = await batch_running(store, EVERY, 2, of_items=EVERY)
        await store.callbacks.add("shop", URL)
        async with open_write(store.database) as connection:
            before = await connection.run_sync(_counted)
            await connection.run_sync(_downgrade, "0007")
            after = await connection.run_sync(_counted)
            left = await connection.run_sync(lambda c: sqlalchemy.inspect(c).get_table_names())
            kinds = (await connection.execute(select(outbox.c.kind).distinct())).scalars().all()

    assert before == after == {"generations": 3, "attempts": 3, "batches": 1, "batch_items": 2}
    assert not {"deliveries", "callbacks", "webhook_secrets"} & set(left)
    assert kinds == ["prefect.start"]

    async with Store(empty_url, str(tmp_path / "images")) as store:
        assert (await store.generations.get(made.id)).callback is None
        assert (await store.batches.get(batch.id)).total == 2
        async with open_write(store.database) as connection:
            assert await connection.run_sync(differences) == []


def _counted(connection: Connection) -> dict[str, int]:
    names = ("generations", "attempts", "batches", "batch_items")
    return {
        name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
        for name in names
    }


def _downgrade(connection: Connection, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.downgrade(config, to)


async def test_pictures_become_artefacts_and_pictures_again(empty_url: str, tmp_path: Path) -> None:
    """Revision 0010: with their ids and files; an older version gets the pictures back."""
    async with Store(empty_url, str(tmp_path / "images")) as store:
        made = await accepted(store)
        claim = await running(store, made.id)
        picture = an_image(claim)
        await store.transitions.succeed(claim, [picture])
        async with open_write(store.database) as connection:
            await connection.run_sync(_downgrade, "0009")
            found = await connection.execute(text("SELECT path, width, seed FROM images"))
            assert found.tuples().all() == [(picture.path, 512, 42)]

    async with Store(empty_url, str(tmp_path / "images")) as store:
        [again] = await store.generations.artefacts(made.id)
        assert replace(again, name="") == picture
        async with open_write(store.database) as connection:
            assert await connection.run_sync(differences) == []


@pytest.mark.parametrize("lost", [{"kind": "video"}, {"width": None}, {"poster_path": None}])
async def test_artefacts_that_an_older_version_cannot_have_are_not_dropped(
    empty_url: str, tmp_path: Path, lost: dict[str, Any]
) -> None:
    async with Store(empty_url, str(tmp_path / "images")) as store:
        made = await accepted(store)
        claim = await running(store, made.id)
        other = replace(an_image(claim, 1), **lost)
        await store.transitions.succeed(claim, [an_image(claim), other])

        with pytest.raises(CommandError, match="1 artefacts are videos"):
            async with open_write(store.database) as connection:
                await connection.run_sync(_downgrade, "0009")

        assert len(await store.generations.artefacts(made.id)) == 2


async def test_what_is_under_way_refers_to_the_artefacts_that_it_took_before(
    empty_url: str, tmp_path: Path
) -> None:
    """Revision 0013: versions before kept no references, and did not say which values are files."""
    async with Store(empty_url, str(tmp_path / "images")) as store:
        claim = await running(store, (await accepted(store)).id)
        await store.transitions.succeed(claim, [an_image(claim)])
        [artefact] = await store.generations.artefacts(claim.generation_id)
        taking: dict[str, Any] = {"image": f"artefact:{artefact.id}", "plan": Plan(version="1")}
        waits = await accepted(store, **taking)
        ended = await running(store, (await accepted(store, **taking)).id)
        await store.transitions.fail(ended, OUT_OF_MEMORY)
        batch_id = await being_accepted(store, new_items(1, **taking))
        await store.batch_transitions.accept(batch_id, 1, 1)
        async with open_write(store.database) as connection:
            await connection.run_sync(_downgrade, "0012")
            await connection.run_sync(_forget_files)

    async with Store(empty_url, str(tmp_path / "images")) as store:
        async with open_read(store.database) as connection:
            found = (await connection.execute(select(artefact_references))).tuples().all()
        assert set(found) == {(artefact.id, waits.id), (artefact.id, batch_id)}


async def test_what_was_accepted_before_is_taken_in_that_order(
    empty_url: str, tmp_path: Path
) -> None:
    """Revision 0016: every row has a turn, and keeps its attempts on the way there and back."""
    async with Store(empty_url, str(tmp_path / "images")) as store:
        again = await accepted(store)
        made = [await accepted(store, seed=seed) for seed in range(2)]
        stages = [{"name": "render"}]
        await store.transitions.fail(await running(store, again.id), OUT_OF_MEMORY, stages=stages)
        again = await store.transitions.retry(again.id)
        async with open_write(store.database) as connection:
            before = await connection.run_sync(_counted)
            await connection.run_sync(_downgrade, "0015")
            indexes = await connection.run_sync(_indexes)
            await connection.run_sync(upgrade)
            assert await connection.run_sync(differences) == []
            assert await connection.run_sync(_counted) == before
            turns = await connection.execute(select(generations.c.turn, generations.c.seq))
            assert {turn - seq for turn, seq in turns.tuples()} == {0}
        assert await store.generations.get(again.id) == again
        assert await store.queue.untold(1) == ()
        # The retry that is written from now on goes behind them.
        await store.transitions.request_cancel(made[0].id)
        await store.transitions.retry(made[0].id)
        in_turn = [again.id, made[1].id, made[0].id]
        places = await store.generations.places(in_turn)
        assert [places[one].ahead for one in in_turn] == [0, 1, 2]

    assert indexes["ix_generations_queue"] == ["status", "priority", "seq", "cost"]
    assert not {"ix_attempts_held", "ix_attempts_untold"} & indexes.keys()


def _indexes(connection: Connection) -> dict[str | None, list[str | None]]:
    found = sqlalchemy.inspect(connection)
    return {
        one["name"]: one["column_names"]
        for name in ("generations", "attempts")
        for one in found.get_indexes(name)
    }


def _forget_files(connection: Connection) -> None:
    """Leave every request as versions stored it that did not list its files."""
    for rows, key in ((generations, generations.c.id), (batch_items, batch_items.c.generation_id)):
        for one, request in connection.execute(select(key, rows.c.request)):
            del request["$plan"]["files"]
            connection.execute(update(rows).where(key == one).values(request=request))
