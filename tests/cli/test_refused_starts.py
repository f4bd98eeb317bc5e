"""A part that cannot start says why, and what to do: one message, no traceback."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.running import Ended, easel_process
from tests.flows.prefect_server import Server, started
from tests.harness.databases import at_once, migrated
from tests.harness.processes import free_port

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[Server]:
    """A Prefect server: the worker waits for one before it opens anything."""
    with started(Server(tmp_path_factory.mktemp("server"), prefect_database)) as server:
        yield server


PARTS = {
    "api": ("-m", "cli.main", "api"),
    "worker": ("-m", "cli.main", "worker"),
    "uvicorn": ("-m", "uvicorn", "--factory", "web.app:create_app"),
}


def newer(file: Path) -> None:
    """Let a migration of a later version have been there."""
    at_once(migrated(f"sqlite+aiosqlite:///{file}"))
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()


async def refused(part: str, server: Server, folder: Path, **more: str) -> Ended:
    api_url = str(server.http.base_url).rstrip("/")
    arguments = ("--port", str(free_port())) if part != "worker" else ()
    return await easel_process(
        *PARTS[part],
        *arguments,
        home=folder / "home",
        more={"EASEL_PREFECT__API_URL": api_url, "COLUMNS": "300", **more},
        program=(sys.executable, "-P"),
    )


@pytest.mark.parametrize("part", ["api", "worker"])
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EASEL_STORE__URL", "sqlite+aiosqlite:///{}/garbage", "file is not a database. EASEL_ST"),
        ("EASEL_STORE__URL", "sqlite+aiosqlite:///{}/newer.db", "a newer version of Easel"),
        ("EASEL_STORE__URL", "postgresql+asyncpg://me:secretpw@127.0.0.1:{}/x", "EASEL_STORE__URL"),
        ("EASEL_STORE__IMAGES_URL", "gopher://me:secretpw@host/x", "EASEL_STORE__IMAGES_URL"),
        ("EASEL_STORE__IMAGES_URL", "{}/garbage", "EASEL_STORE__IMAGES_URL"),
    ],
)
async def test_storage_that_cannot_be_used_is_a_message(
    part: str, variable: str, value: str, said: str, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "garbage").write_text("not what is expected" * 100)
    newer(tmp_path / "newer.db")
    place = free_port() if "postgresql" in value else tmp_path

    ended = await refused(part, server, tmp_path, **{variable: value.format(place)})

    assert said in ended.err
    assert "Traceback" not in ended.err
    assert "secretpw" not in ended.err
    assert ended.code == 1


async def test_the_application_says_it_under_any_server(server: Server, tmp_path: Path) -> None:
    newer(tmp_path / "newer.db")
    url = f"sqlite+aiosqlite:///{tmp_path / 'newer.db'}"

    ended = await refused("uvicorn", server, tmp_path, EASEL_STORE__URL=url)

    assert "a newer version of Easel" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("part", ["api", "worker"])
async def test_a_data_folder_that_is_a_file_is_a_message(
    part: str, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("")
    ended = await refused(part, server, tmp_path)
    assert ended.code == 1
    assert ended.err.startswith(f"easel: the data folder {tmp_path / 'home'} cannot be written")
    assert ended.err.count("\n") == 1


async def test_a_port_that_is_taken_is_a_message(server: Server, tmp_path: Path) -> None:
    port = str(server.http.base_url.port)
    ended = await easel_process("api", "--port", port, home=tmp_path)
    assert ended.code == 1
    assert ended.err.startswith(f"easel: port {port} for the API is taken")
    assert "--port" in ended.err
    assert ended.err.count("\n") == 1
