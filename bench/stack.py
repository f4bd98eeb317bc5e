"""Easel and the emulator as processes of their own, on free ports and in a temporary home."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

READY_WITHIN_S: Final = 90
STOPPED_WITHIN_S: Final = 20


@dataclass(frozen=True)
class Stack:
    """What is running, with an emulator for each worker; ``comfy_url`` is the first one's.

    ``pids`` are the supervisor, Prefect's server, the emulators and the other workers.
    """

    http: aiohttp.ClientSession
    api_url: str
    prefect_url: str
    comfy_urls: tuple[str, ...]
    home: Path
    pids: tuple[int, ...]

    @property
    def comfy_url(self) -> str:
        """The emulator of the first worker."""
        return self.comfy_urls[0]

    @property
    def prefect_log(self) -> Path:
        """A line for each request that Prefect's server answered."""
        return self.home.parent / "prefect.log"

    async def executions(self) -> list[dict[str, Any]]:
        """What the emulators executed: prompt_id, started, ended (Unix seconds), outcome."""
        executions: list[dict[str, Any]] = []
        for comfy_url in self.comfy_urls:
            async with self.http.get(f"{comfy_url}/emulator/state") as response:
                executions += (await response.json())["executions"]
        return executions

    async def requests(self) -> int:
        """Returns how many requests Prefect's server has answered, where they are counted."""
        log = await asyncio.to_thread(self.prefect_log.read_text, errors="replace")
        return sum(line.startswith("request ") for line in log.splitlines())

    async def runs_completed(self) -> int:
        """Returns how many flow runs of Prefect are Completed."""
        asked = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
        url = f"{self.prefect_url}/api/flow_runs/count"
        async with self.http.post(url, json=asked) as response:
            return int(await response.text())

    async def all_runs_completed(self, number: int) -> None:
        """Wait until so many are: the pictures are there before."""
        while await self.runs_completed() < number:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.5)


_given: Final[set[int]] = set()


def free_port() -> int:
    """Returns a free port of the loopback interface, each one once."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


@asynccontextmanager
async def running_stack(
    render_s: float,
    load_s: float = 0.0,
    *,
    workers: int = 1,
    count_requests: bool = False,
    settings: Mapping[str, str] | None = None,
    emulator: Sequence[str] = ("comfy.emulator",),
) -> AsyncIterator[Stack]:
    """Start everything, wait until pictures can be made, and stop everything at the end.

    ``load_s``: seconds for loading another checkpoint. ``workers``: how many, each with an emulator
    of its own. ``count_requests``: Prefect's server is a process besides ``easel up`` then, which
    logs each request. ``settings`` are Easel's, by the names of their environment variables.
    ``emulator`` is its module, and that one's own arguments.
    """
    api, prefect = free_port(), free_port()
    processes: list[asyncio.subprocess.Process] = []
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        home = Path(folder)
        try:
            painting = (*emulator, "--render-time", str(render_s), "--load-time", str(load_s))
            comfy_urls = [
                await _emulator(processes, home / f"emulator-{number}", painting)
                for number in range(workers)
            ]
            environment = {"EASEL_HOME": str(home / "home"), **(settings or {})}
            if count_requests:
                await _counting_prefect(processes, home, prefect)
                environment["EASEL_PREFECT__API_URL"] = f"http://127.0.0.1:{prefect}/api"
            easel = await _spawn(
                home / "easel.log",
                "cli.main",
                *("up", "--home", str(home / "home"), "--port", str(api)),
                *("--prefect-port", str(prefect), "--comfy-url", comfy_urls[0]),
                **environment,
            )
            processes.append(easel)
            environment["EASEL_PREFECT__API_URL"] = f"http://127.0.0.1:{prefect}/api"
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                url, prefect_url = (f"http://127.0.0.1:{port}" for port in (api, prefect))
                await _ready(http, url, easel, home / "easel.log")
                for number, comfy_url in enumerate(comfy_urls[1:], start=2):
                    await _another_worker(processes, home, number, comfy_url, environment)
                await _working(http, url, workers)
                pids = tuple(process.pid for process in processes)
                yield Stack(http, url, prefect_url, tuple(comfy_urls), home / "home", pids)
        finally:
            for process in reversed(processes):
                await _stop(process)


async def _emulator(
    processes: list[asyncio.subprocess.Process], folder: Path, painting: Sequence[str]
) -> str:
    """Start one more emulator. Returns its address."""
    port = free_port()
    place = ("--port", str(port), "--output-dir", str(folder))
    processes.append(await _spawn(folder.with_suffix(".log"), *painting, *place))
    await _listening(port)
    return f"http://127.0.0.1:{port}"


async def _counting_prefect(
    processes: list[asyncio.subprocess.Process], home: Path, port: int
) -> None:
    server = ("flows.prefect.server", "--port", str(port), "--tell")
    settings = {"PREFECT_HOME": str(home / "prefect")}
    processes.append(await _spawn(home / "prefect.log", *server, **settings))
    await _listening(port)


async def _another_worker(
    processes: list[asyncio.subprocess.Process],
    home: Path,
    number: int,
    comfy_url: str,
    environment: Mapping[str, str],
) -> None:
    of_its_own = {"EASEL_WORKER__NAME": f"worker-{number}", "EASEL_COMFY__URL": comfy_url}
    log = home / f"worker-{number}.log"
    processes.append(await _spawn(log, "cli.main", "worker", **environment, **of_its_own))


async def _spawn(
    log: Path, module: str, *arguments: str, **environment: str
) -> asyncio.subprocess.Process:
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **environment},
        )


async def _listening(port: int) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def _ready(
    http: aiohttp.ClientSession, url: str, easel: asyncio.subprocess.Process, log: Path
) -> None:
    """Wait until it is ready and the welcome picture is made: then nothing else runs."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_WITHIN_S):
            while easel.returncode is None:
                if await _is_ready(http, url):
                    return
                await asyncio.sleep(0.2)
    printed = await asyncio.to_thread(log.read_text)
    raise RuntimeError(f"Easel did not get ready:\n{printed[-3000:]}")


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/readyz") as response:
            if response.status != 200:
                return False
        async with http.get(f"{url}/api/v1/generation/history") as response:
            items = (await response.json())["items"]
    except aiohttp.ClientError:
        return False
    return bool(items) and all(item["status"] == "succeeded" for item in items)


async def _working(http: aiohttp.ClientSession, url: str, workers: int) -> None:
    """Wait until so many workers take generations."""
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            async with http.get(f"{url}/readyz") as response:
                parts = (await response.json())["parts"]
            if f"{workers} running" in {part["detail"] for part in parts}:
                return
            await asyncio.sleep(0.2)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOPPED_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
