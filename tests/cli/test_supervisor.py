"""The supervisor with real processes: the standard library's own web server as the part."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from cli.up.logs import LARGEST, PartLog
from cli.up.part import Part
from cli.up.supervisor import PartFailedError, Supervisor
from tests.cli.running import all_gone
from tests.harness.processes import free_port
from tests.harness.waiting import wait_until


class Diary:
    """A reporter that writes down what it hears."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.deaths: list[str] = []
        self._news = asyncio.Event()

    def starting(self, part: Part) -> None:
        self._write(f"{part.name} starting")

    def ready(self, part: Part, seconds: float) -> None:  # noqa: ARG002
        self._write(f"{part.name} ready")

    def died(self, part: Part, how: str, delay_s: float) -> None:  # noqa: ARG002
        self.deaths.append(how)
        self._write(f"{part.name} died")

    def stopped(self, part: Part) -> None:
        self._write(f"{part.name} stopped")

    def _write(self, entry: str) -> None:
        self.entries.append(entry)
        self._news.set()

    async def until(self, entry: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while self.entries.count(entry) < times:
                self._news.clear()
                await self._news.wait()


def _web_server(folder: Path, name: str = "api", *arguments: str) -> Part:
    port = free_port()

    async def is_ready(http: httpx.AsyncClient) -> bool:
        try:
            return (await http.get(f"http://127.0.0.1:{port}/")).is_success
        except httpx.HTTPError:
            return False

    return Part(
        name=name,
        title=name,
        address="",
        module="http.server",
        arguments=(str(port), "--bind", "127.0.0.1", "--directory", str(folder), *arguments),
        is_ready=is_ready,
        log=PartLog(folder / f"{name}.log"),
        grace_s=5,
    )


def _children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if _is_tether(child)]


def _is_tether(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "cli.up.tether" in process.cmdline()
    return False


async def test_everything_starts_and_stops_in_order(tmp_path: Path) -> None:
    diary = Diary()
    parts = [_web_server(tmp_path, name) for name in ("prefect", "api", "worker")]
    async with Supervisor(parts, os.environ, diary) as supervisor:
        await supervisor.until_ready(30)
        children = _children()
        assert len(children) == 3
    assert await all_gone(children, 1)
    stops = [entry for entry in diary.entries if "stopped" in entry]
    assert sorted(stops[:2]) == ["api stopped", "worker stopped"]
    assert stops[2:] == ["prefect stopped"]


async def test_a_part_that_dies_is_started_again(tmp_path: Path) -> None:
    diary = Diary()
    async with Supervisor([_web_server(tmp_path)], os.environ, diary) as supervisor:
        await supervisor.until_ready(30)
        _children()[0].kill()
        await diary.until("api ready", times=2)
    assert diary.deaths == ["was ended by SIGKILL"]


async def test_what_must_act_once_is_not_in_the_environment_of_a_restart(tmp_path: Path) -> None:
    diary = Diary()
    parts = [_web_server(tmp_path, name) for name in ("prefect", "worker")]
    once = {"EASEL_PREFECT__TAKE_OVER": "a store"}
    async with Supervisor(parts, os.environ, diary, 0.001, at_first=once) as supervisor:
        await supervisor.until_ready(30)
        first = _children()
        assert all(once.items() <= child.environ().items() for child in first)
        first[0].kill()
        first[1].kill()
        for name in ("prefect", "worker"):
            await diary.until(f"{name} ready", times=2)
        assert not any(once.keys() & child.environ().keys() for child in _children())


async def test_a_part_that_cannot_start_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    part = _web_server(tmp_path, "api", "--no-such-option")
    with pytest.raises(PartFailedError, match="api ended with exit code 2") as caught:
        async with Supervisor([part], os.environ, Diary()) as supervisor:
            await supervisor.until_failed()
    assert "--no-such-option" in caught.value.part.log.tail()[-1]


async def test_a_part_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    diary = Diary()
    async with Supervisor([_web_server(tmp_path)], os.environ, diary, 0.001) as supervisor:
        failing = asyncio.create_task(supervisor.until_failed())
        for times in range(1, 6):
            await diary.until("api ready", times)
            _children()[0].kill()
        with pytest.raises(PartFailedError, match="SIGKILL"):
            await failing
    assert len(diary.deaths) == 4


async def test_a_log_that_grows_is_put_aside_while_its_part_runs(tmp_path: Path) -> None:
    part = _web_server(tmp_path)
    async with Supervisor([part], os.environ, Diary(), rotate_every_s=0.05) as supervisor:
        await supervisor.until_ready(30)
        with part.log.path.open("ab") as file:
            file.write(b"x" * (LARGEST + 1))
        aside = tmp_path / "api.log.1"
        await asyncio.to_thread(wait_until, aside.exists)
        await asyncio.to_thread(wait_until, lambda: part.log.path.stat().st_size < LARGEST)
        assert _children()[0].is_running()


async def test_stopping_in_a_hurry_waits_for_nobody(tmp_path: Path) -> None:
    part = _web_server(tmp_path)
    async with Supervisor([part], os.environ, Diary()) as supervisor:
        await supervisor.until_ready(30)
        child = _children()[0]
        child.suspend()  # it cannot even hear SIGTERM
        supervisor.hurry()
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < part.grace_s / 2
    assert await all_gone([child], 30)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
async def test_no_child_outlives_its_supervisor(tmp_path: Path, how: signal.Signals) -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "end, held = os.pipe()\n"
        "command = [sys.executable, '-P', '-m', 'cli.up.tether', 'http.server', *sys.argv[1:]]\n"
        "print(subprocess.Popen(command, stdin=end, start_new_session=True).pid, flush=True)\n"
        "time.sleep(60)"
    )
    arguments = _web_server(tmp_path).arguments
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = psutil.Process(int(await parent.stdout.readline()))
    parent.send_signal(how)
    await parent.wait()
    assert await all_gone([child], 30)
    await parent.stdout.read()
