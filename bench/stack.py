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
    """What is running. ``pids`` are the supervisor, Prefect's server and the emulator."""

    http: aiohttp.ClientSession
    api_url: str
    comfy_url: str
    home: Path
    pids: tuple[int, ...]

    @property
    def prefect_log(self) -> Path:
        """A line for each request that Prefect's server answered."""
        return self.home.parent / "prefect.log"

    async def executions(self) -> list[dict[str, Any]]:
        """What the emulator executed: prompt_id, started, ended (Unix seconds), outcome."""
        async with self.http.get(f"{self.comfy_url}/emulator/state") as response:
            state = await response.json()
        executions: list[dict[str, Any]] = state["executions"]
        return executions


def free_port() -> int:
    """Returns a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running_stack(
    render_s: float,
    load_s: float = 0.0,
    *,
    count_requests: bool = False,
    settings: Mapping[str, str] | None = None,
    emulator: Sequence[str] = ("comfy.emulator",),
) -> AsyncIterator[Stack]:
    """Start everything, wait until pictures can be made, and stop everything at the end.

    ``load_s``: seconds for loading another checkpoint. ``count_requests``: Prefect's server is a
    process besides ``easel up`` then, which logs each request. ``settings`` are Easel's, by the
    names of their environment variables. ``emulator`` is its module, and that one's own arguments.
    """
    api, prefect, comfy = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        home = Path(folder)
        painter = await _spawn(
            home / "emulator.log",
            *emulator,
            *("--port", str(comfy), "--output-dir", str(home / "output")),
            *("--render-time", str(render_s), "--load-time", str(load_s)),
        )
        processes = [painter]
        await _listening(comfy)
        environment = {"PREFECT_HOME": str(home / "prefect")} if count_requests else {}
        if count_requests:
            server = ("flows.prefect.server", "--port", str(prefect), "--tell")
            processes.append(await _spawn(home / "prefect.log", *server, **environment))
            await _listening(prefect)
            environment["EASEL_PREFECT__API_URL"] = f"http://127.0.0.1:{prefect}/api"
        environment |= settings or {}
        easel = await _spawn(
            home / "easel.log",
            "cli.main",
            *("up", "--home", str(home / "home"), "--port", str(api)),
            *("--prefect-port", str(prefect), "--comfy-url", f"http://127.0.0.1:{comfy}"),
            **environment,
        )
        processes.insert(0, easel)
        connector = aiohttp.TCPConnector(limit=0)
        try:
            async with aiohttp.ClientSession(connector=connector) as http:
                stack = Stack(
                    http,
                    f"http://127.0.0.1:{api}",
                    f"http://127.0.0.1:{comfy}",
                    home / "home",
                    tuple(process.pid for process in processes),
                )
                await _ready(stack, easel, home / "easel.log")
                yield stack
        finally:
            for process in processes:
                await _stop(process)


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


async def _ready(stack: Stack, easel: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until it is ready and the welcome picture is made: then nothing else runs."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_WITHIN_S):
            while easel.returncode is None:
                if await _is_ready(stack):
                    return
                await asyncio.sleep(0.2)
    printed = await asyncio.to_thread(log.read_text)
    raise RuntimeError(f"Easel did not get ready:\n{printed[-3000:]}")


async def _is_ready(stack: Stack) -> bool:
    try:
        async with stack.http.get(f"{stack.api_url}/readyz") as response:
            if response.status != 200:
                return False
        async with stack.http.get(f"{stack.api_url}/api/v1/generation/history") as response:
            items = (await response.json())["items"]
    except aiohttp.ClientError:
        return False
    return bool(items) and all(item["status"] == "succeeded" for item in items)


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
