"""A create whose answer is lost is sent again with its key."""

from __future__ import annotations

import asyncio
import json

import pytest

from cli.client import ApiClient, ApiUnreachableError
from tests.harness.processes import free_port

ANSWER = json.dumps({"task_id": "1"}).encode()


async def test_a_lost_answer_is_asked_for_again_with_the_same_key() -> None:
    keys: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().splitlines()
        keys.extend(line for line in head if line.startswith("idempotency-key: "))
        if len(keys) > 1:  # the first time it hangs up
            writer.write(
                b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
            )
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with ApiClient(f"http://127.0.0.1:{port}") as client:
            assert await client.create({"prompt": "a fox"}) == {"task_id": "1"}
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_nobody_there_is_told() -> None:
    async with ApiClient(f"http://127.0.0.1:{free_port()}") as nobody:
        with pytest.raises(ApiUnreachableError):
            await nobody.create({"prompt": "a fox"})
