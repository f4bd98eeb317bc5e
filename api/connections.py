"""Connections of the server: one that does not send a whole request is closed.

uvicorn has a timeout for kept connections only, which ends with the first byte that comes. The
deadline of a body is that of ``api.limits``. uvicorn also sends chunks to clients of HTTP/1.0,
which do not know them.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEADERS_WITHIN_S: Final = 30.0


class _UntilClosed(RequestResponseCycle):
    """The answer to a request of HTTP/1.0: a body without a length ends with the connection."""

    _has_length: bool = True

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            self._has_length = b"content-length" in names
            self.chunked_encoding = None if self._has_length else False
        elif message["type"] == "http.response.body" and not self._has_length:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with a deadline for the headers of each request."""

    headers_within_s: float = HEADERS_WITHIN_S
    _deadline: asyncio.TimerHandle | None = None
    _has_begun: bool = False
    """Whether a request has begun whose headers are not complete."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: its first request is due."""
        super().connection_made(transport)
        self._begin_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came: of a request whose headers are not complete, or after its answer."""
        super().data_received(data)
        if self._deadline is None and self._is_idle and not self.transport.is_closing():
            self._begin_deadline()

    def on_message_begin(self) -> None:
        """The first byte of a request, which may come while the one before is answered."""
        self._has_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The request is there, but perhaps for its body."""
        self._has_begun = False
        self._end_deadline()
        super().on_headers_complete()
        cycle: RequestResponseCycle | None = self.cycle  # the one before, for a websocket
        if cycle and cycle.scope is self.scope and self.parser.get_http_version() == "1.0":
            cycle.__class__ = _UntilClosed  # uvicorn made it, and begins with it later

    def on_response_complete(self) -> None:
        """The rest of a request that has begun meanwhile is due."""
        super().on_response_complete()
        if self._has_begun and self._deadline is None and not self.transport.is_closing():
            self._begin_deadline()

    @property
    def _is_idle(self) -> bool:
        """Returns whether no request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        is_websocket = self.transport.get_protocol() is not self
        return not is_websocket and (cycle is None or cycle.response_complete)

    def _begin_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.headers_within_s, self.transport.close)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
