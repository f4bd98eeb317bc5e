"""`easel audit` as an operator runs it, on a real home."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from core.settings import Settings
from flows.testing import InProcessWorker
from store.store import Store
from store.values import Artefact
from tests.cli.running import easel, easel_process
from tests.harness.databases import a_store
from tests.store.making import accepted


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    """Open all the while, as by a running Easel."""
    settings = Settings(home=home)
    async with Store(a_store(home / "easel.db"), settings.images_url) as store:
        yield store


async def a_success(store: Store) -> Artefact:
    generation = await accepted(store)
    (kept,) = await InProcessWorker(store).finish(generation.id)
    return kept


async def test_what_is_in_order(store: Store, home: Path) -> None:
    await a_success(store)

    ended = await easel_process("audit", "--checksums", home=home)

    assert (ended.code, ended.out, ended.err) == (0, "All stored files are in order.\n", "")


async def test_orphans_are_told_and_removed_on_demand(store: Store, home: Path) -> None:
    stays, gone = await a_success(store), await a_success(store)
    await store.transitions.delete(gone.generation_id)

    young = await easel("audit", "--repair", home=home)
    told = await easel("audit", "--settle", "0", home=home)
    repaired = await easel("audit", "--settle", "0", "--repair", home=home)
    again = await easel("audit", "--settle", "0", home=home)

    assert (young.code, told.code, repaired.code, again.code) == (0, 1, 0, 0)
    for ended in (told, repaired):
        header, *rows, summary = ended.out.splitlines()
        assert header.startswith("what ")
        assert len(rows) == 2
        assert all(row.startswith(f"orphan file     {gone.generation_id}") for row in rows)
        assert summary.startswith("2 × orphan file: ")
    assert "0 removed, 2 left" in told.out
    assert "--repair" in told.out
    assert "2 removed, 0 left" in repaired.out
    images = Path(Settings(home=home).images_url)
    assert not (images / gone.path).exists()
    assert (images / stays.path).exists()


async def test_a_missing_picture_is_wrong_also_after_repair(store: Store, home: Path) -> None:
    kept = await a_success(store)
    file = Path(Settings(home=home).images_url) / kept.path
    then = time.time() - 86_400
    os.utime(file, (then, then))
    os.rename(file, file.with_name("9-9.png"))  # noqa: PTH104 - the row names another

    ended = await easel("audit", "--repair", home=home)

    assert ended.code == 1
    assert f"missing file    {kept.generation_id}  1-0.png" in ended.out
    assert "1 × missing file, 1 × orphan file: 1 removed, 1 left." in ended.out


async def test_without_a_store_it_says_so_and_makes_none(home: Path) -> None:
    ended = await easel("audit", home=home)

    assert ended.code == 1
    assert "there is no store" in ended.err
    assert not (home / "easel.db").exists()


async def test_another_schema_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "easel.db").touch()

    ended = await easel("audit", home=tmp_path)

    assert ended.code == 1
    assert "migration none" in ended.err
    with closing(sqlite3.connect(tmp_path / "easel.db")) as database:
        assert database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
