"""A receiver of callbacks on a real socket, which answers as the test says.

It runs in a thread of its own, so that tests with and without a loop, and processes, can use it.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import struct
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from standardwebhooks.webhooks import Webhook

from tests.harness.listener import Listener, bound
from tests.harness.waiting import PATIENCE_S, wait_until

DATA: Final = Path(__file__).parents[1] / "data"
TRUSTED: Final = DATA / "tls_server.pem"
"""A certificate for 127.0.0.1, by ``TRUSTED_CA``."""
TRUSTED_CA: Final = DATA / "tls_ca.pem"
EXPIRED: Final = DATA / "tls_expired.pem"
"""For 127.0.0.1, by ``SECOND_CA``, but too old."""
OTHER_HOST: Final = DATA / "tls_other_host.pem"
"""For elsewhere.example, by ``SECOND_CA``."""
SECOND_CA: Final = DATA / "tls_second_ca.pem"
SECRET: Final = "whsec_" + base64.b64encode(b"a secret for tests only").decode()
_CHUNK: Final = bytes(64 * 1024)


@dataclass(frozen=True)
class Received:
    """A request that came as a whole. ``number`` counts all of a receiver's from 0."""

    number: int
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def verified(self, secret: str = SECRET) -> Any:
        """Returns the body's JSON, verified by the library's own verifier."""
        return Webhook(secret).verify(self.body, dict(self.headers))

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]


Behaviour = Callable[["Exchange"], Awaitable[None]]
"""What is done with a request that came as a whole."""


class Exchange:
    """A request and the connection to answer it on."""

    def __init__(
        self,
        request: Received,
        reader: StreamReader,
        writer: StreamWriter,
        receiver: CallbackReceiver,
    ) -> None:
        self.request = request
        self._reader = reader
        self._writer = writer
        self._receiver = receiver

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        self._receiver.bytes_sent += len(data)

    async def head(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} As Told", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def reset(self) -> None:
        _reset(self._writer)

    async def gone(self) -> None:
        """Return when the client has closed the connection."""
        while await self._reader.read(1024):
            pass


def answers(
    status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Behaviour:
    """Answers with this status, these headers, this body."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(status, {"Content-Length": str(len(body)), **(headers or {})})
        await exchange.send(body)

    return behave


def redirects(to: str, status: int = 302) -> Behaviour:
    """Answers with another address."""
    return answers(status, {"Location": to})


def writes(data: bytes) -> Behaviour:
    """Answers with exactly these bytes, be they HTTP or not."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(data)

    return behave


async def resets(exchange: Exchange) -> None:
    """Resets the connection instead of an answer."""
    exchange.reset()


async def never_answers(exchange: Exchange) -> None:
    """Keeps the connection open until the client or the receiver ends it."""
    await exchange.gone()


def drips(
    data: bytes = b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 60_000, every_s: float = 0.02
) -> Behaviour:
    """Answers with these bytes one by one, for ever in effect."""

    async def behave(exchange: Exchange) -> None:
        for place in range(len(data)):
            await exchange.send(data[place : place + 1])
            await asyncio.sleep(every_s)
        await never_answers(exchange)

    return behave


def stalls_after_head(status: int = 200, said: bytes = b"") -> Behaviour:
    """Answers with the head, and promises more of a body than it ever sends."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(status, {"Content-Length": "100000"})
        await exchange.send(said)
        await never_answers(exchange)

    return behave


def floods(size: int = 100_000_000, status: int = 200) -> Behaviour:
    """Answers with a body of this size; the receiver's ``bytes_sent`` says how far it came."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(status, {"Content-Length": str(size)})
        for _ in range(size // len(_CHUNK)):
            await exchange.send(_CHUNK)

    return behave


def bombs(lines: int = 100_000) -> Behaviour:
    """Answers with headers without end."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(lines):
            await exchange.send(b"X-%d: %s\r\n" % (number, b"z" * 1000))

    return behave


class CallbackReceiver:
    """Use as a context manager: it listens from its beginning to its end, on one free port.

    Each request has the next behaviour of ``script``; the last one is for all that follow.
    ``certificate`` makes it speak TLS. While it is ``down`` connections are refused; while it is
    ``paused`` requests are taken, but not answered.
    """

    def __init__(
        self,
        *script: Behaviour,
        certificate: Path | None = None,
        host: str = "127.0.0.1",
        path: str = "/easel",
    ) -> None:
        self.script: list[Behaviour] = list(script)
        self.bytes_sent = 0
        """How much the connections took of all answers."""
        self.connections = 0
        """How many connections were made, with a request or without."""
        self._received: list[Received] = []
        self._tls = _tls(certificate)
        self._seat = bound(host=host)  # never listens: it keeps the port while the receiver is down
        self.host = host
        self.port: int = self._seat.getsockname()[1]
        scheme = "http" if certificate is None else "https"
        written = f"[{host}]" if ":" in host else host
        self.url = f"{scheme}://{written}:{self.port}{path}"
        self._listener: Listener | None = None
        self._loop = asyncio.new_event_loop()
        self._may_answer = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"receiver-{self.port}", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        self.up()
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        self._run(_others_ended())
        self._run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._seat.close()

    @property
    def requests(self) -> tuple[Received, ...]:
        """What came so far, in the order of arrival."""
        return tuple(self._received)

    def verified(self, secret: str = SECRET) -> list[Any]:
        """Returns the JSON of all requests. Raises the verifier's error for a wrong signature."""
        return [request.verified(secret) for request in self._received]

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return 0 if self._listener is None else len(self._listener.tasks)

    def wait_for(self, count: int, *, within: float = PATIENCE_S) -> tuple[Received, ...]:
        """Wait until at least so many requests came, and return all. Blocks: not for a loop."""
        wait_until(
            lambda: len(self._received) >= count,
            lambda: f"{count} requests; there are {len(self._received)}",
            within=within,
        )
        return self.requests

    async def received(self, count: int) -> tuple[Received, ...]:
        """The same as ``wait_for``, for tests with a loop."""
        return await asyncio.to_thread(self.wait_for, count)

    def down(self) -> None:
        """Reset every connection, and refuse new ones."""
        self._run(self._close())

    def up(self) -> None:
        """Take connections again."""
        self._run(self._listen())

    def pause(self) -> None:
        """Answer nothing until ``resume``; requests are taken and recorded."""
        self._run(self._answer(allowed=False))

    def resume(self) -> None:
        """Answer what was held, and all that comes."""
        self._run(self._answer(allowed=True))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _answer(self, *, allowed: bool) -> None:
        if allowed:
            self._may_answer.set()
        else:
            self._may_answer.clear()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = Listener(bound(self.port, self.host), self._serve, self._tls)

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.abort()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):  # the client has gone
            try:
                request = await _read(reader, len(self._received))
                self._received.append(request)
                await self._may_answer.wait()
                await self._next()(Exchange(request, reader, writer, self))
            finally:
                writer.close()
                await writer.wait_closed()

    def _next(self) -> Behaviour:
        if not self.script:
            return answers()
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


async def _read(reader: StreamReader, number: int) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    pairs: Sequence[tuple[str, str, str]] = [line.partition(":") for line in lines]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(number, method, target, headers, body)


async def _others_ended() -> None:
    """Return when no other task is left: connections may be on their way in."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    for _ in range(3):  # what these have scheduled
        await asyncio.sleep(0)


def _reset(writer: StreamWriter) -> None:
    its_socket = writer.get_extra_info("socket")
    if its_socket is not None:  # else TLS has closed it
        with suppress(OSError):  # it is closed already
            its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _tls(certificate: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
