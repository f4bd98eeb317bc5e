"""Which store this is: given once, kept for ever, and known of every generation that it had."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Boolean, DateTime, String, column, insert, select, table

from store.database import Database
from store.identity import identity_of
from store.migrate import upgrade
from store.store import Store
from store.tables import workers
from tests.harness.transactions import open_read, open_write
from tests.store.making import NEVER, accepted
from tests.store.test_registry import RECORD


async def test_it_is_given_by_the_first_start_and_kept(empty_url: str, tmp_path: Path) -> None:
    images = str(tmp_path / "images")
    async with Store(empty_url, images) as first, Store(empty_url, images) as second:
        given = first.identity
        assert second.identity == given
    async with Store(empty_url, images) as again:
        assert again.identity == given


async def test_of_processes_that_start_together_one_gives_it(
    empty_url: str, tmp_path: Path
) -> None:
    stores = [Store(empty_url, str(tmp_path / "images")) for _ in range(3)]
    await asyncio.gather(*(store.__aenter__() for store in stores))

    assert len({store.identity for store in stores}) == 1
    for store in stores:
        await store.__aexit__(None, None, None)


async def test_two_stores_differ_and_a_copy_does_not(tmp_path: Path) -> None:
    one, other, copy = (tmp_path / f"{name}.db" for name in ("one", "other", "copy"))
    async with _at(one) as first, _at(other) as second:
        given = first.identity
        assert second.identity != given

    shutil.copy(one, copy)
    async with _at(copy) as restored:
        assert restored.identity == given


def _at(file: Path) -> Store:
    return Store(f"sqlite+aiosqlite:///{file}", str(file.parent / "images"))


async def test_a_store_of_an_earlier_version_gets_one_and_keeps_its_rows(empty_url: str) -> None:
    """Revision 0005."""
    former = table(
        "workers",
        *(column(name, String()) for name in ("name", "comfy_url")),
        column("comfy_reachable", Boolean()),
        *(column(name, DateTime(timezone=True)) for name in ("started_at", "seen_at")),
    )
    async with Database(empty_url) as database:
        async with open_write(database) as connection:
            await connection.run_sync(upgrade, "0004")
            await connection.execute(
                insert(former).values(
                    name=RECORD.name,
                    comfy_url=RECORD.comfy_url,
                    comfy_reachable=True,
                    started_at=RECORD.started_at,
                    seen_at=RECORD.seen_at,
                )
            )
        async with open_write(database) as connection:
            await connection.run_sync(upgrade)
        identity = await identity_of(database)
        async with open_read(database) as connection:
            kept = (await connection.execute(select(workers))).mappings().one()
            assert len((await connection.execute(select(workers))).all()) == 1
    assert identity.version == 4
    assert (kept["name"], kept["seen_at"]) == (RECORD.name, RECORD.seen_at)
    assert (kept["holder"], kept["foreign_runs"]) == (None, None)


async def test_it_knows_what_it_ever_had(store: Store) -> None:
    kept, deleted, never = await accepted(store), await accepted(store), uuid4()
    await store.transitions.delete(deleted.id)

    known = await store.generations.known([kept.id, deleted.id, never, NEVER])

    assert known == {kept.id, deleted.id}
    assert await store.generations.known([]) == frozenset()
    assert await store.batches.known([never]) == frozenset()
