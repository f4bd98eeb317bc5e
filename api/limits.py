"""Limits on request line and headers: the server's fast parser has none of its own."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.handlers import problem_response
from core.problems import problem

URL_BYTES_MAX: Final = 16_384
HEADERS_BYTES_MAX: Final = 32_768


class RequestLimits:
    """Middleware: 414 for an oversized URL, 431 for oversized headers."""

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
        await self._app(scope, receive, send)


def _refuse(status: int, detail: str) -> ASGIApp:
    found = problem("bad_request", detail).model_copy(update={"status": status})
    return problem_response(found)
