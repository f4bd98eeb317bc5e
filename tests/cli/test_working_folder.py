"""What lies in the folder where a command is typed does not steer Easel's processes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx
import pytest

from tests.cli.running import Started, easel_process, started
from tests.harness.processes import free_port
from tests.harness.waiting import wait_until

PYTHON = (sys.executable, "-P", "-m")
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with settings for Prefect, which cannot be read: it ends what reads them."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    (folder / "prefect.toml").write_text("this is not TOML")
    return folder


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


async def listens(server: Started, url: str) -> bool:
    """Returns whether it answers before it ends."""
    ended = asyncio.create_task(server.process.wait())
    try:
        await asyncio.to_thread(wait_until, lambda: ended.done() or answers(url), what=url)
        return not ended.done()
    finally:
        ended.cancel()


async def test_the_api_reads_none(foreign: Path, tmp_path: Path) -> None:
    port = str(free_port())
    more = {"EASEL_PREFECT__PORT": str(free_port())}
    async with started("api", "--port", port, home=tmp_path / "home", cwd=foreign, more=more) as it:
        assert await listens(it, f"http://127.0.0.1:{port}/healthz")


async def test_the_prefect_server_reads_none(foreign: Path, tmp_path: Path) -> None:
    port = str(free_port())
    more = {"PREFECT_HOME": str(tmp_path / "prefect")}
    module = ("flows.prefect.server", "--port", port)
    home = tmp_path / "home"
    async with started(*module, home=home, cwd=foreign, more=more, program=PYTHON) as it:
        assert await listens(it, f"http://127.0.0.1:{port}/api/health")


async def test_the_worker_reads_none(foreign: Path, tmp_path: Path) -> None:
    more = {"EASEL_PREFECT__PORT": str(free_port())}
    async with started("worker", home=tmp_path / "home", cwd=foreign, more=more) as worker:
        await worker.until("Waiting for the Prefect API", timeout_s=120)


async def test_doctor_reads_none(foreign: Path, tmp_path: Path) -> None:
    more = {
        "EASEL_PREFECT__PORT": str(free_port()),
        "EASEL_API__PORT": str(free_port()),
        "EASEL_COMFY__URL": f"http://127.0.0.1:{free_port()}",
    }
    ended = await easel_process("doctor", "--json", home=tmp_path / "home", cwd=foreign, more=more)
    assert ended.err == ""
    checks = {check["name"]: check for check in json.loads(ended.out)["checks"]}
    assert "TOML" not in checks["Prefect"]["detail"]


@pytest.mark.parametrize(
    ("variable", "given", "meant"),
    [
        ("EASEL_HOME", "data", "data/easel.db"),
        ("EASEL_STORE__URL", "sqlite+aiosqlite:///rows.db", "rows.db"),
    ],
)
async def test_paths_are_those_of_the_folder_where_the_command_is_typed(
    variable: str, given: str, meant: str, foreign: Path, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    ended = await easel_process(
        "audit", home=tmp_path / "home", cwd=foreign, more={variable: given}
    )
    assert f"no store at sqlite+aiosqlite:///{foreign / meant} yet" in ended.err
