"""Signals between processes: what was committed here is told there, at once."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from store.database import Database
from store.signals import SIGNALS, Datagrams, Hearing, folder_of, signal
from store.store import Store
from tests.store.making import accepted, wait_until


class Heard:
    """Which signals a store has told of."""

    def __init__(self, hearing: Hearing) -> None:
        self.names: list[str] = []
        self._listening = ExitStack()
        for name in SIGNALS:
            call = partial(self.names.append, name)
            self._listening.enter_context(hearing.listening(name, call))

    async def hears(self, *names: str) -> None:
        """Wait until these have come."""

        async def has_come() -> bool:
            return set(names) <= set(self.names)

        await wait_until(has_come)


async def test_what_another_process_commits_is_told(store: Store, second: Store) -> None:
    assert second.database.hears
    here, there = Heard(store.database.hearing), Heard(second.database.hearing)

    await accepted(store)

    for heard in (here, there):
        await heard.hears("changes", "outbox")


async def test_what_is_rolled_back_is_not_told(store: Store, second: Store) -> None:
    there = Heard(second.database.hearing)

    def stumble(connection: Connection) -> None:
        signal(connection, "queue")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.database.write(stumble)
    # What comes later is heard later.
    await second.database.write(lambda connection: signal(connection, "changes"))
    await there.hears("changes")

    assert "queue" not in there.names


async def test_who_listens_no_more_is_not_called() -> None:
    hearing, calls = Hearing(), []
    with hearing.listening("queue", lambda: calls.append(1)):
        hearing.tell(["queue", "of another version"])
    hearing.tell(["queue"])

    assert calls == [1]


async def test_a_listener_is_opened_again(kind: str, store: Store, second: Store) -> None:
    """What was sent meanwhile is lost, so all is told."""
    if kind != "postgresql":
        pytest.skip("SQLite has no connection to lose")
    there = Heard(second.database.hearing)
    await store.database.read(
        lambda c: c.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        ).all()
    )

    await there.hears(*SIGNALS)

    async def hears() -> bool:
        return second.database.hears

    await wait_until(hears)


# --- datagrams


async def test_a_socket_of_a_process_that_was_killed_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "easel.db"
    dead = folder_of(file) / "dead.sock"
    dead.parent.mkdir()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as left:
        left.bind(str(dead))
    sending = Datagrams(file, lambda _: None)

    sending.send(["queue"])
    sending.close()

    assert not dead.exists()


async def test_who_has_many_unread_looks_at_everything(tmp_path: Path) -> None:
    """Its socket may have had no room for the last ones."""
    told: list[str] = []
    hearing = Datagrams(tmp_path / "easel.db", told.extend)
    assert hearing.open() is not None
    sending = Datagrams(tmp_path / "easel.db", lambda _: None)
    for _ in range(5000):
        sending.send(["changes"])
    sending.send(["queue"])

    hearing.read()

    assert set(told) == set(SIGNALS)
    sending.close()
    hearing.close()
    assert not folder_of(tmp_path / "easel.db").exists()


async def test_a_long_path_has_its_sockets_elsewhere(tmp_path: Path) -> None:
    """The address of a socket is at most 108 bytes long."""
    file = tmp_path / ("long" * 30) / "easel.db"
    file.parent.mkdir()
    told = asyncio.Event()

    async with Database(f"sqlite+aiosqlite:///{file}") as database:
        await database.hear()
        with database.hearing.listening("queue", told.set):
            await database.write(lambda connection: signal(connection, "queue"))
            async with asyncio.timeout(60):
                await told.wait()

    assert folder_of(file).parent != file.parent
    assert not folder_of(file).exists()


async def test_a_folder_that_cannot_be_made_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "easel.db"
    folder_of(file).write_text("")

    async with Database(f"sqlite+aiosqlite:///{file}") as database:
        await database.hear()

        assert not database.hears
        await database.write(lambda connection: signal(connection, "queue"))


async def test_the_sockets_are_private(tmp_path: Path) -> None:
    hearing = Datagrams(tmp_path / "easel.db", lambda _: None)
    hearing.open()

    assert folder_of(tmp_path / "easel.db").stat().st_mode & 0o077 == 0
    hearing.close()
