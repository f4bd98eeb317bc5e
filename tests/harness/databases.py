"""Databases that have their tables already: copies, for migrations take longer than most tests."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from store.database import Database
from store.migrate import migrate
from tests.harness.processes import REPOSITORY, environment
from tests.harness.waiting import wait_until

PREFECT_WITHIN_S: Final = 300.0


def a_store(file: Path) -> str:
    """Put a store with its tables there, as its first start does. Returns its URL."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_store())
    return _sqlite(file)


@cache
def _store() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "easel.db"
        at_once(migrated(_sqlite(file)))
        return file.read_bytes()


def _sqlite(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


async def migrated(url: str) -> None:
    """Make the tables of a store."""
    async with Database(url) as database:
        await migrate(database)


def at_once(work: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop of its own, apart from those of the tests."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def prefect_template(folder: Path) -> Path:
    """Prefect's database with its tables, made by the first process that asks for it there.

    A server takes eight seconds of a core for them when it starts on none.
    """
    file, made = folder / "new" / "prefect.db", folder / "prefect.db"
    try:
        file.parent.mkdir(parents=True)
    except FileExistsError:  # another process makes it
        wait_until(made.exists, "the template of Prefect's database", within=PREFECT_WITHIN_S)
        return made
    subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
        cwd=REPOSITORY,
        env=environment(PREFECT_HOME=str(file.parent), PREFECT_SERVER_ANALYTICS_ENABLED="false"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PREFECT_WITHIN_S,
        check=True,
    )
    file.replace(made)
    return made


def a_prefect_home(home: Path, template: Path) -> None:
    """Make a home for a Prefect server, with a copy of that database."""
    home.mkdir(parents=True)
    shutil.copy(template, home / "prefect.db")
