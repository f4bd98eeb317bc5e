"""A store for the deliverer's tests; what it keeps is in one SQLite file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.store import Store
from tests.harness.databases import a_store
from tests.webhooks.delivering import Clock


@pytest.fixture
def clock() -> Clock:
    """The clock of the outbox."""
    return Clock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return a_store(tmp_path / "easel.db")


@pytest.fixture
async def store(url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    async with Store(url, str(tmp_path / "images"), clock=clock) as opened:
        yield opened


@pytest.fixture
async def second(store: Store, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """The same store, as another process has it open."""
    url = store.database.url
    async with Store(url, str(tmp_path / "images"), clock=clock) as opened:
        yield opened
