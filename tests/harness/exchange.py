"""One request on its way through a ``FaultProxy``, and what becomes of it and its answer."""

from __future__ import annotations

import asyncio
import fcntl
import re
import socket
import struct
import sys
import termios
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import h11

from tests.harness.faults import (
    Answer,
    BlackHole,
    CutReply,
    Delay,
    DropReply,
    Fault,
    HalfClose,
    Refuse,
    Replace,
    Rule,
    SlowReply,
)

_CHUNK: Final = 65536
_HEAD_MAX: Final = 1 << 18
_HEAD_END: Final = b"\r\n\r\n"
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})
_OF_THE_HOP: Final = frozenset({b"connection", b"keep-alive"})


class Exchange:
    """One request and what becomes of it."""

    is_held = False

    def __init__(
        self, reader: StreamReader, writer: StreamWriter, upstream_port: int, rules: list[Rule]
    ) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_MAX)
        self._reader, self._writer = reader, writer
        self._writers = [writer]
        self._upstream_port = upstream_port
        self._rules = rules

    def reset(self) -> None:
        """End both connections at once; what is on its way is lost."""
        for writer in self._writers:
            with suppress(OSError):  # it is closed already
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            writer.transport.abort()

    async def run(self) -> None:
        """See it through. What breaks on one side breaks on the other in the same way."""
        try:
            head = await self._hear()
            if isinstance(head, h11.Request):
                rule = next((rule for rule in list(self._rules) if rule.takes(head)), None)
                await self._play(head, rule or Rule(None))
        except* (h11.RemoteProtocolError, asyncio.IncompleteReadError):
            pass
        except* OSError:
            self.reset()
        finally:
            for writer in self._writers:
                writer.close()
        for writer in self._writers:  # until then it can be reset
            with suppress(OSError):
                await writer.wait_closed()

    async def _play(self, head: h11.Request, rule: Rule) -> None:
        if isinstance(rule.fault, Refuse):
            rule.hits += 1
            self.reset()
        elif isinstance(rule.fault, BlackHole):
            self.is_held = True
            rule.hits += 1
            await self._reader.read()
        elif isinstance(rule.fault, Answer):
            await self._body()
            rule.hits += 1
            await _write(self._writer, _answer(rule.fault, head))
        else:
            await self._forward(_whole(head, await self._body(), rule.fault), rule)

    async def _hear(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_CHUNK))
        return event

    async def _body(self) -> bytes:
        if self._http.they_are_waiting_for_100_continue:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        parts = []
        while isinstance(event := await self._hear(), h11.Data):
            parts.append(bytes(event.data))
        return b"".join(parts)

    async def _forward(self, request: bytes, rule: Rule) -> None:
        if isinstance(rule.fault, Delay):
            rule.hits += 1
            await asyncio.sleep(rule.fault.seconds)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._upstream_port, limit=_HEAD_MAX
        )
        self._writers.append(writer)
        writer.write(request + self._http.trailing_data[0])
        head = b""
        if isinstance(rule.fault, Delay | DropReply):  # whether or not the client is still there
            head = await reader.readuntil(_HEAD_END)
        async with asyncio.TaskGroup() as both_ways:
            both_ways.create_task(self._up(writer))
            both_ways.create_task(self._down(head, reader, rule))

    async def _up(self, writer: StreamWriter) -> None:
        while data := await self._reader.read(_CHUNK):
            await _write(writer, data)
        writer.write_eof()

    async def _down(self, head: bytes, reader: StreamReader, rule: Rule) -> None:
        head = head or await reader.readuntil(_HEAD_END)
        if isinstance(rule.fault, DropReply):
            if b" 101 " not in head[:16]:
                await reader.read()
            rule.hits += 1
            self.reset()
            return
        if isinstance(rule.fault, Replace):
            head, reader = _replaced(rule.fault, head, await reader.read())
        rule.hits += not isinstance(rule.fault, Delay)
        await _write(self._writer, head)
        async for data in _shaped(rule.fault, reader):
            await _write(self._writer, data)
        await self._finish(rule.fault)

    async def _finish(self, fault: Fault | None) -> None:
        if isinstance(fault, HalfClose):
            self._writer.write_eof()
        elif isinstance(fault, CutReply) and fault.reset:
            await _delivered(self._writer)
            self.reset()
        else:
            self._writer.close()


async def _shaped(fault: Fault | None, body: StreamReader) -> AsyncIterator[bytes]:
    """What passes of a body, in the pieces in which it passes."""
    left = fault.after_bytes if isinstance(fault, CutReply | HalfClose) else sys.maxsize
    piece = 1 if isinstance(fault, SlowReply) else _CHUNK
    while left and (data := await body.read(min(left, piece))):
        left -= len(data)
        yield data
        if isinstance(fault, SlowReply):
            await asyncio.sleep(1 / fault.bytes_per_s)


def _replaced(fault: Replace, head: bytes, body: bytes) -> tuple[bytes, StreamReader]:
    """Another body, in one piece, with a head that goes with it."""
    if re.search(rb"(?i)\ntransfer-encoding:.*chunked", head):
        body = _joined(body)
    if body:  # else it may be HEAD's, whose length is that of what GET would get
        body = body.replace(fault.old, fault.new)
        head = re.sub(rb"(?i)\r\n(content-length|transfer-encoding):[^\r]*", b"", head)
        head = head[:-2] + b"Content-Length: %d\r\n\r\n" % len(body)
    reader = StreamReader()
    reader.feed_data(body)
    reader.feed_eof()
    return head, reader


def _joined(chunks: bytes) -> bytes:
    body = b""
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        end = int(size.partition(b";")[0], 16)
        body, chunks = body + chunks[:end], chunks[end + 2 :]
    return body


def _whole(head: h11.Request, body: bytes, fault: Fault | None) -> bytes:
    """The request for upstream: its length is said, and it is the last on its connection."""
    names = {name for name, _ in head.headers}
    dropped, added = _LENGTHS | {b"expect"}, []
    if b"upgrade" not in names:
        dropped, added = dropped | _OF_THE_HOP, [b"Connection: close"]
    if isinstance(fault, Replace):  # what is packed cannot be searched
        dropped |= {b"accept-encoding"}
    if names & _LENGTHS:
        added.append(b"Content-Length: %d" % len(body))
    kept = [b"%s: %s" % it for it in head.headers.raw_items() if it[0].lower() not in dropped]
    return b"\r\n".join(
        [b" ".join((head.method, head.target, b"HTTP/1.1")), *kept, *added, b"", body]
    )


def _answer(answer: Answer, head: h11.Request) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.status} Fault",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Connection: close\r\n\r\n",
    )
    return "\r\n".join(lines).encode() + (b"" if head.method == b"HEAD" else answer.body)


async def _write(writer: StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _delivered(writer: StreamWriter) -> None:
    """Return when the client's side has all that was written: a reset takes the rest with it."""
    sock = writer.get_extra_info("socket")
    while not writer.is_closing() and (  # noqa: ASYNC110 (the kernel tells no event)
        writer.transport.get_write_buffer_size()
        or any(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    ):
        await asyncio.sleep(0.001)
