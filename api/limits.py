"""Limits on request line, headers and the time of a body: the server has none of its own."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.handlers import problem_response
from core.problems import problem

URL_BYTES_MAX: Final = 16_384
HEADERS_BYTES_MAX: Final = 32_768
BODY_WITHIN_S: Final = 30.0
BODY_BYTES_PER_S: Final = 64_000
"""A body has ``BODY_WITHIN_S`` seconds, and a second more for so many bytes of it that have come: a
client that sends one byte at a time would occupy a connection for ever."""


class RequestLimits:
    """Middleware: 414 for an oversized URL, 431 for oversized headers, 408 for a slow body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            if len(scope["raw_path"]) + len(scope["query_string"]) > URL_BYTES_MAX:
                await _refuse(414, f"the address may have {URL_BYTES_MAX} bytes")(
                    scope, receive, send
                )
                return
            if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADERS_BYTES_MAX:
                await _refuse(431, f"the headers may have {HEADERS_BYTES_MAX} bytes")(
                    scope, receive, send
                )
                return
            if _has_body(scope):
                receive = _Arriving(receive)
        await self._app(scope, receive, send)


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


class _Arriving:
    """The messages of a request whose body must come in time."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._deadline = time.monotonic() + BODY_WITHIN_S
        self._is_whole = False

    async def __call__(self) -> Message:
        """Returns the next message. Raises HTTPException 408."""
        if self._is_whole:  # what comes now is that the client leaves
            return await self._receive()
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(
                408, "the body did not arrive in time", headers={"Connection": "close"}
            ) from error
        self._is_whole = not message.get("more_body", False)
        self._deadline += len(message.get("body", b"")) / BODY_BYTES_PER_S
        return message


def _refuse(status: int, detail: str) -> ASGIApp:
    found = problem("bad_request", detail).model_copy(update={"status": status})
    return problem_response(found)
