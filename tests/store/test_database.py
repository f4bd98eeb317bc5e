"""Transactions: all or nothing, in turn, and never left open."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError

from store.completion import finished
from store.database import Database, next_changes
from store.errors import StoreUnavailableError
from store.generations.acceptance import adopt
from store.migrate import migrate
from store.store import Store
from store.tables import counters
from store.values import ProgressRecord
from tests.harness.databases import a_store
from tests.harness.transactions import open_read, open_write
from tests.store.making import END_THE_OTHERS, a_request, accepted, running, wait_until


async def value(database: Database, name: str = "changes") -> int:
    async with open_read(database) as connection:
        found = await connection.execute(select(counters.c.value).where(counters.c.name == name))
        return int(found.scalar_one())


class BoomError(Exception):
    """Something that goes wrong in the middle."""


async def test_a_block_that_raises_leaves_no_trace(database: Database) -> None:
    before = await value(database)

    async def write_and_fail() -> None:
        async with open_write(database) as connection:
            await connection.run_sync(next_changes)
            raise BoomError

    with pytest.raises(BoomError):
        await write_and_fail()
    assert await value(database) == before


async def test_what_a_block_wrote_is_seen_only_after_it(database: Database) -> None:
    before = await value(database)

    async with open_write(database) as connection:
        await connection.run_sync(next_changes, 5)
        assert await value(database) == before

    assert await value(database) == before + 5


async def test_read_then_write_at_once_both_succeed(url: str) -> None:
    """A deferred SQLite transaction that turns into a writer would fail at once instead."""
    if "sqlite" not in url:
        pytest.skip("PostgreSQL locks rows, which the transitions ask for themselves")

    async def add_one(database: Database) -> None:
        async with open_write(database) as connection:
            found = await connection.execute(select(counters.c.value))
            seen = found.scalar_one()
            await asyncio.sleep(0)
            await connection.execute(update(counters).values(value=seen + 1))

    async with Database(url) as one, Database(url) as other:
        before = await value(one)
        await asyncio.gather(*(add_one(database) for database in (one, other) * 5))

        assert await value(other) == before + 10


async def test_the_writers_of_a_process_take_turns(kind: str, database: Database) -> None:
    if kind != "sqlite":
        pytest.skip("PostgreSQL has a queue of its own")
    came: list[int] = []

    async def write(number: int) -> None:
        async with open_write(database) as connection:
            await connection.run_sync(next_changes)
            came.append(number)

    await asyncio.gather(*(write(number) for number in range(30)))

    assert came == list(range(30))


async def test_change_numbers_are_reserved_in_one_piece(database: Database) -> None:
    before = await value(database)

    async def reserve() -> range:
        async with open_write(database) as connection:
            first = await connection.run_sync(next_changes, 10)
            return range(first, first + 10)

    pieces = await asyncio.gather(*(reserve() for _ in range(10)))

    numbers = sorted(number for piece in pieces for number in piece)
    assert numbers == list(range(before + 1, before + 101))


async def test_our_own_mistakes_are_not_called_unavailability(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with open_write(database) as connection:
            await connection.execute(insert(counters).values(name="changes", value=1))
    with pytest.raises((ProgrammingError, StoreUnavailableError)):
        async with open_read(database) as connection:
            await connection.execute(text("SELECT nonsense FROM nowhere"))


# --- a caller that is cancelled


async def test_a_write_that_was_begun_is_finished(store: Store) -> None:
    """The cancel of a caller must not leave a transaction, and with it the write lock, behind."""
    made = await accepted(store)
    claim = await running(store, made.id)

    for turns in range(40):
        writing = asyncio.create_task(
            store.transitions.record_progress(claim, ProgressRecord(float(turns)), None, None)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])

    await store.transitions.record_progress(claim, ProgressRecord(99.0), None, None)
    assert (await store.generations.get(made.id)).progress == ProgressRecord(99.0)


async def test_the_caller_hears_of_its_cancel_when_the_work_is_done() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> str:
        begun.set()
        await go_on.wait()
        done.set()
        return "done"

    working = asyncio.create_task(finished(work()))
    await begun.wait()
    for _ in range(3):  # a second cancel does not cut the first one short
        working.cancel()
        await asyncio.sleep(0)
    assert not working.done()
    go_on.set()
    await asyncio.wait([working])

    assert done.is_set()
    assert working.cancelled()


async def test_work_that_fails_after_the_cancel_is_a_cancel() -> None:
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        raise BoomError

    working = asyncio.create_task(finished(work()))
    await asyncio.sleep(0)
    working.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([working])

    assert working.cancelled()


async def test_finished_work_gives_its_outcome() -> None:
    async def work(fails: bool) -> str:
        if fails:
            raise BoomError
        return "done"

    assert await finished(work(fails=False)) == "done"
    with pytest.raises(BoomError):
        await finished(work(fails=True))


# --- a database that does not answer


async def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "a folder.db").mkdir()

    before = set(threading.enumerate())
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'a folder.db'}") as database:
        with pytest.raises(StoreUnavailableError):
            await migrate(database)
    await wait_until(partial(no_driver_is_at_work, before))


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")

    with pytest.raises(StoreUnavailableError):
        Database(f"sqlite+aiosqlite:///{tmp_path / 'a file' / 'easel.db'}")


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "easel.db"
    path.write_bytes(b"this is not a database " * 1000)

    with pytest.raises(StoreUnavailableError):
        async with Store(f"sqlite+aiosqlite:///{path}", str(tmp_path / "images")):
            pass

    assert path.read_bytes().startswith(b"this is not")


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    url = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"

    with pytest.raises(StoreUnavailableError):
        async with Store(url, str(tmp_path / "images")):
            pass


async def test_a_writer_that_never_lets_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.sqlite.BUSY_TIMEOUT_MS", 50)
    path = tmp_path / "easel.db"

    async with Store(a_store(path), str(tmp_path / "images")) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

            # Nothing can be written, and nobody waits for all who came before …
            adopted = (uuid.uuid4() for _ in range(5))
            refusals = await asyncio.gather(
                accepted(store),
                *(adopt(store.database, run, a_request(), run) for run in adopted),
                return_exceptions=True,
            )
            assert {type(refusal) for refusal in refusals} == {StoreUnavailableError}
            # … but everything read.
            assert await store.generations.active() == ()
            other.execute("ROLLBACK")

        # And it goes on by itself.
        made = await accepted(store)
        assert await store.generations.get(made.id) == made


async def test_postgres_ends_our_backends(kind: str, store: Store, second: Store) -> None:
    if kind != "postgresql":
        pytest.skip("SQLite has none")
    made = await accepted(store)

    async def write_while_it_ends() -> None:
        async with open_write(store.database) as connection:
            await connection.execute(text("SELECT 1"))
            async with open_read(second.database) as other:
                await other.execute(END_THE_OTHERS)
            await connection.run_sync(next_changes)

    with pytest.raises(StoreUnavailableError):
        await write_while_it_ends()
    assert await store.generations.get(made.id) == made
    assert (await accepted(store)).seq > made.seq


# --- how SQLite is set up


async def test_sqlite_keeps_what_it_committed(kind: str, database: Database) -> None:
    if kind != "sqlite":
        pytest.skip("SQLite's own settings")
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}

    for _ in range(3):  # also when the connection has been used before
        async with open_read(database) as connection:
            for pragma, expected in pragmas.items():
                found = await connection.execute(text(f"PRAGMA {pragma}"))
                assert found.scalar_one() == expected, pragma
        async with open_write(database) as connection:
            await connection.run_sync(next_changes)


@pytest.fixture
def new_file(tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """A new file, and another connection that has the lock of a switch to WAL in its middle."""
    path = tmp_path / "easel.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield path, other


async def test_a_new_file_that_another_connection_switches_to_wal(
    new_file: tuple[Path, sqlite3.Connection],
) -> None:
    """SQLite refuses a second switch at once then, whatever the busy timeout is."""
    path, other = new_file
    tries: list[str] = []

    def seen(statement: str) -> None:  # in the driver's thread, before the statement runs
        if "journal_mode" in statement:
            tries.append(statement)
            if len(tries) == 2:  # the first was refused
                other.execute("ROLLBACK")

    def watch(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.set_trace_callback(seen)

    async with Database(f"sqlite+aiosqlite:///{path}") as database:
        event.listen(database.engine, "connect", watch, insert=True)
        await migrate(database)

        assert await value(database) == 0
        async with open_read(database) as connection:
            mode = await connection.execute(text("PRAGMA journal_mode"))
            assert mode.scalar_one() == "wal"


async def test_a_new_file_that_another_connection_never_lets_go(
    new_file: tuple[Path, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.sqlite.BUSY_TIMEOUT_MS", 50)
    path, other = new_file

    async with Database(f"sqlite+aiosqlite:///{path}") as database:
        with pytest.raises(StoreUnavailableError, match="locked"):
            await migrate(database)
        other.execute("ROLLBACK")
        await migrate(database)  # it goes on by itself
        assert await value(database) == 0


async def test_closing_leaves_nothing_open(url: str, tmp_path: Path) -> None:
    before = set(threading.enumerate())

    async with Store(url, str(tmp_path / "images")) as store:
        with store.changes.subscribe():
            await asyncio.gather(*(accepted(store) for _ in range(20)))

    await wait_until(partial(no_driver_is_at_work, before))
    if store.database.is_sqlite:  # no write-ahead log: nothing is left to be done
        assert files_of_a_database(tmp_path) == ["easel.db"]


async def no_driver_is_at_work(before: set[threading.Thread]) -> bool:
    """Those that were there before do not count."""
    begun = set(threading.enumerate()) - before
    return not any(thread.name.startswith("store ") for thread in begun)


def files_of_a_database(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("easel.db*")]


async def test_its_patience_covers_the_writers_here_and_elsewhere(tmp_path: Path) -> None:
    """Not each of them anew: a request would be answered after twice as long."""
    url = a_store(tmp_path / "easel.db")
    set_to: list[str] = []
    clock = 0.0

    def seen(statement: str) -> None:
        if "busy_timeout" in statement:
            set_to.append(statement)

    def watch(driver: Any, _record: object) -> None:
        driver.set_trace_callback(seen)

    async with Database(url, patience_s=60.0, now=lambda: clock) as database:
        event.listen(database.engine, "connect", watch)
        async with open_write(database):
            pass
        assert set_to == ["PRAGMA busy_timeout=60000"]

        async with open_write(database):
            waiting = asyncio.create_task(database.write(next_changes))
            await asyncio.sleep(0)  # it has begun to wait
            clock = 50.2
        await waiting
        assert set_to[1:] == ["PRAGMA busy_timeout=10000"]
