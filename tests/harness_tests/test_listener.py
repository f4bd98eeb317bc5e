"""A listener that is closed loses no connection that is on its way in."""

from __future__ import annotations

import asyncio
import socket
from asyncio import StreamReader, StreamWriter

import pytest

from tests.harness.listener import Listener, bound


async def _echo(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(await reader.read(100))
    writer.close()
    await writer.wait_closed()


def _dialled(listener: Listener) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(5)]


async def _heard(client: socket.socket) -> bytes:
    return await asyncio.to_thread(client.recv, 100)


async def test_what_was_on_its_way_in_is_served_after_the_close() -> None:
    listener = Listener(bound(), _echo)
    clients = _dialled(listener)
    for client in clients:
        client.sendall(b"a fox")
        listener._accept()  # the loop has not turned since
    listener.close()
    for client in clients:
        assert await _heard(client) == b"a fox"
        client.close()
    await asyncio.gather(*listener.tasks)


async def test_what_is_cancelled_before_it_began_is_closed() -> None:
    listener = Listener(bound(), _echo)
    clients = _dialled(listener)
    for _ in clients:
        listener._accept()
    listener.close()
    for task in listener.tasks:
        task.cancel()
    await asyncio.gather(*listener.tasks, return_exceptions=True)
    for client in clients:
        assert await _heard(client) == b""
        client.close()
    assert not listener.tasks


async def test_what_a_connection_raises_is_known_at_its_end() -> None:
    async def fail(_reader: StreamReader, writer: StreamWriter) -> None:
        writer.close()
        raise ValueError("it is broken")

    listener = Listener(bound(), fail)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    assert await reader.read() == b""
    writer.close()
    listener.close()
    await asyncio.gather(*listener.tasks, return_exceptions=True)

    assert [str(one) for one in listener.failures] == ["it is broken"]


async def test_an_abort_resets_what_is_open() -> None:
    async def hold(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(await reader.read(100))
        await reader.read()

    listener = Listener(bound(), hold)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"

    await listener.abort()

    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert not listener.tasks
