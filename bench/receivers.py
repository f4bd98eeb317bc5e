"""Receivers of callbacks, in a process of their own: quick ones, and one that never answers."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Final, Self

_TAKEN: Final = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
_Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_processes: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Arrival:
    """An event that a quick receiver took: its port, the Unix time, and of what it tells."""

    port: int
    at: float
    task_id: str


class Receivers:
    """Listens while the context lasts. ``quick`` are the URLs of the quick receivers."""

    def __init__(self, quick: int) -> None:
        self._connection, theirs = _processes.Pipe()
        self._process = _processes.Process(target=_listen, args=(quick, theirs), daemon=True)
        self.quick: tuple[str, ...] = ()
        self.silent = ""

    def __enter__(self) -> Self:
        self._process.start()
        silent, *quick = (f"http://127.0.0.1:{port}/" for port in self._connection.recv())
        self.silent, self.quick = silent, tuple(quick)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.send("end")
        self._process.join()

    def count(self) -> int:
        """Returns how many events have arrived since the last call of ``arrivals``."""
        self._connection.send("count")
        count: int = self._connection.recv()
        return count

    def arrivals(self) -> list[Arrival]:
        """Returns what has arrived since the last call."""
        self._connection.send("arrivals")
        arrived: list[Arrival] = self._connection.recv()
        return arrived


@dataclass
class _Seen:
    arrivals: list[Arrival] = field(default_factory=list)


def _listen(quick: int, connection: Connection) -> None:
    asyncio.run(_serve(quick, connection))


async def _serve(quick: int, connection: Connection) -> None:
    seen = _Seen()
    handlers: list[_Handler] = [_ignore, *(partial(_take, seen) for _ in range(quick))]
    servers = [await asyncio.start_server(one, "127.0.0.1", 0) for one in handlers]
    connection.send([server.sockets[0].getsockname()[1] for server in servers])
    while (asked := await asyncio.to_thread(connection.recv)) != "end":
        if asked == "count":
            connection.send(len(seen.arrivals))
        else:
            arrived, seen.arrivals = seen.arrivals, []
            connection.send(arrived)
    for server in servers:
        server.close()


async def _ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the sender gives up
    writer.close()


async def _take(seen: _Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = json.loads(await reader.readexactly(length))
    port: int = writer.get_extra_info("sockname")[1]
    seen.arrivals.append(Arrival(port, time.time(), body["data"]["task_id"]))
    writer.write(_TAKEN)
    writer.close()
