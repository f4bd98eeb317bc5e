"""Takes connections as ``asyncio.start_server`` does, and can be closed at any moment.

That of Python 3.11 loses the connections that are on their way in when it is closed: nothing closes
their sockets.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress

Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]
_BACKLOG = 512
_LINE_MAX = 1 << 18
_log = logging.getLogger(__name__)


class Listener:
    """Listens on a bound socket, which it closes; each connection is a task of the running loop.

    With ``tls`` a connection begins with its handshake; one whose handshake fails is served never.
    """

    def __init__(
        self, sock: socket.socket, serve: Serve, tls: ssl.SSLContext | None = None
    ) -> None:
        self._socket = sock
        self._serve = serve
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._open: dict[asyncio.Task[None], _Connection] = {}
        self.failures: list[BaseException] = []
        """What the tasks raised that have ended."""
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self.port: int = sock.getsockname()[1]
        self._loop.add_reader(sock, self._accept)

    @property
    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """Those of the connections that are open."""
        return frozenset(self._open)

    def close(self) -> None:
        """Take no more; those that are there go on."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._socket)
            self._socket.close()

    async def abort(self) -> None:
        """Take no more, and reset those that are there."""
        self.close()
        for task, connection in list(self._open.items()):
            connection.reset()
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self) -> None:
        try:
            accepted, _ = self._socket.accept()
        except OSError:  # the client has gone already
            return
        accepted.setblocking(False)
        connection = _Connection(accepted)
        task = self._loop.create_task(self._begin(connection))
        self._open[task] = connection
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task).close()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("A connection failed", exc_info=error)
            self.failures.append(error)

    async def _begin(self, connection: _Connection) -> None:
        try:
            reader, writer = await connection.streams(self._tls)
        except OSError:  # the client has gone, or takes no certificate of ours
            return
        await self._serve(reader, writer)


class _Connection:
    """A connection that was accepted, with the streams made of it."""

    def __init__(self, its_socket: socket.socket) -> None:
        self._socket = its_socket
        self._transport: asyncio.WriteTransport | None = None

    async def streams(self, tls: ssl.SSLContext | None) -> tuple[StreamReader, StreamWriter]:
        """Returns what is read and written on it, after the handshake of TLS. Raises OSError."""
        loop = asyncio.get_running_loop()
        reader = StreamReader(limit=_LINE_MAX)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, self._socket, ssl=tls)
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        return reader, StreamWriter(transport, protocol, reader, loop)

    def reset(self) -> None:
        """Let its end be a reset."""
        with suppress(OSError):  # it is closed already
            linger = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close what no transport has closed: it was cancelled before it had one."""
        if self._transport is None:
            self._socket.close()


def bound(port: int = 0, host: str = "127.0.0.1") -> socket.socket:
    """A socket bound to a port (0: a free one), which others may be bound to as well.

    Raises OSError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    return sock
