"""The server: it answers, and a signal ends it at once."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.harness.processes import free_port

SERVE = """
import sys
import core.http_server
core.http_server.TICK_S = 3600.0

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

core.http_server.serve(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off")
"""


@asynccontextmanager
async def serving(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVE, str(port))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def answer(port: int) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            try:
                return await http.get(f"http://127.0.0.1:{port}/")
            except httpx.ConnectError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_though_nothing_else_wakes_it(number: signal.Signals) -> None:
    port = free_port()
    async with serving(port) as process:
        answered = await answer(port)
        assert answered.status_code == 204
        assert parsedate_to_datetime(answered.headers["Date"]).tzinfo is not None

        process.send_signal(number)
        await process.wait()


async def test_it_fails_when_it_cannot_start() -> None:
    port = free_port()
    async with serving(port):
        await answer(port)
        async with serving(port) as second:
            assert await second.wait() != 0
