"""Takes connections as ``asyncio.start_server`` does, and can be closed at any moment.

That of Python 3.11 loses the connections that are on their way in when it is closed: nothing closes
their sockets.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable

Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]
_BACKLOG = 100


class Listener:
    """Listens on a bound socket, which it closes; each connection is a task of the running loop."""

    def __init__(self, sock: socket.socket, serve: Serve) -> None:
        self._socket = sock
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._waiting: set[socket.socket] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self.port: int = sock.getsockname()[1]
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Take no more; those that are there go on."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _accept(self) -> None:
        try:
            accepted, _ = self._socket.accept()
        except OSError:  # the client has gone already
            return
        accepted.setblocking(False)
        self._waiting.add(accepted)
        task = self._loop.create_task(self._open(accepted))
        self.tasks.add(task)
        task.add_done_callback(lambda _: self._ended(task, accepted))

    def _ended(self, task: asyncio.Task[None], accepted: socket.socket) -> None:
        self.tasks.discard(task)
        if accepted in self._waiting:  # it was cancelled before it began
            self._waiting.discard(accepted)
            accepted.close()

    async def _open(self, accepted: socket.socket) -> None:
        self._waiting.discard(accepted)  # a transport will close it
        reader, writer = await asyncio.open_connection(sock=accepted)
        await self._serve(reader, writer)


def bound(port: int = 0) -> socket.socket:
    """A socket bound to a port of loopback (0: a free one), which others may be bound to as well.

    Raises OSError.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock
