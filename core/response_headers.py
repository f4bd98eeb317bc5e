"""Headers of every response, unless the application sets them itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNFRAMED: Final[Mapping[str, str]] = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
}
"""No page of another site may show the response in a frame, and no browser guesses its type."""

HeadersFor = Callable[[str], Mapping[str, str]]


class ResponseHeaders:
    """Middleware: adds ``headers_for(content type)`` where the response lacks them."""

    def __init__(self, app: ASGIApp, headers_for: HeadersFor) -> None:
        self._app = app
        self._headers_for = headers_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; extend the response."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._completed(message.get("headers", ()))}
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)

    def _completed(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        found = [(name.lower(), value) for name, value in headers]
        there = dict(found)
        content_type = there.get(b"content-type", b"").partition(b";")[0].decode("latin-1")
        for name, value in self._headers_for(content_type).items():
            raw = name.lower().encode()
            if raw not in there:
                found.append((raw, value.encode()))
        return found
