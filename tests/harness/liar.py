"""A server in the place of ComfyUI that answers as the test says, true or not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Self

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
CHUNK: Final = bytes(64 * 1024)


class Liar:
    """Use as an async context manager. ``answers`` is by method and path: ``"GET /view"``."""

    def __init__(self, answers: Mapping[str, Answer] | None = None, **tcp: Any) -> None:
        self.answers = dict(answers or {})
        self.asked: Counter[str] = Counter()
        """How often each route was asked, by its key in ``answers``."""
        self.headers: list[Mapping[str, str]] = []
        """The headers of each request."""
        self._tcp = tcp
        self._scheme = "https" if "ssl_context" in tcp else "http"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, **self._tcp)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        key = f"{request.method} {request.path}"
        self.asked[key] += 1
        self.headers.append(request.headers)
        found = self.answers.get(key)
        return web.Response(status=404) if found is None else await found(request)


def sends(body: bytes, content_type: str = "image/png", **headers: str) -> Answer:
    """Answers with these bytes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, headers=named)

    return answer


def says(text: str, status: int = 200) -> Answer:
    """Answers with this JSON, as it is written."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json", status=status)

    return answer


def redirects(to: str) -> Answer:
    """Answers with another address."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": to})

    return answer


class Endless:
    """Answers with a body that does not end; ``bytes_sent`` counts until the client goes."""

    def __init__(
        self, chunk: bytes = CHUNK, pause_s: float = 0.0, length: int | None = None
    ) -> None:
        self._chunk, self._pause_s, self._length = chunk, pause_s, length
        self.bytes_sent = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = self._length
        await response.prepare(request)
        try:
            while True:
                await response.write(self._chunk)
                self.bytes_sent += len(self._chunk)
                await asyncio.sleep(self._pause_s)
        except ConnectionError:
            return response
