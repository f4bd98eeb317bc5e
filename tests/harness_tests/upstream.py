"""A real server to stand behind a proxy, and plain clients to stand before it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import ClientConnection, connect

from tests.harness.proxy import FaultProxy
from tests.harness.waiting import wait_until

BIG = bytes(range(256)) * 40_000
ALPHABET = b"abcdefghijklmnopqrstuvwxyz"
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"]


class Upstream:
    """A real server that remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.streams = 0
        self.go = threading.Event()
        self._app = Starlette(
            routes=[
                Route("/echo", echo, methods=METHODS),
                Route("/empty", lambda _: Response(status_code=204), methods=METHODS),
                Route("/alphabet", lambda _: Response(ALPHABET), methods=METHODS),
                Route("/big", lambda _: Response(BIG), methods=METHODS),
                Route("/patient", self._patient, methods=METHODS),
                Route("/stream", lambda _: StreamingResponse(self._stream()), methods=METHODS),
                WebSocketRoute("/ws", echo_texts),
            ]
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._hear,
                interface="asgi3",
                log_config=None,
                ws="websockets-sansio",
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started, "the server")
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    async def _hear(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            self.heard.append(scope["path"])
        await self._app(scope, receive, send)

    async def _patient(self, request: Request) -> Response:
        await asyncio.to_thread(self.go.wait)
        self.heard.append("it left" if await request.is_disconnected() else "it stayed")
        return Response()

    async def _stream(self) -> AsyncIterator[bytes]:
        self.streams += 1
        try:
            yield b"one"
            await asyncio.to_thread(self.go.wait)
            yield b"two"
        finally:
            self.streams -= 1


async def echo(request: Request) -> Response:
    sha = hashlib.sha256(await request.body()).hexdigest()
    packed = request.headers.get("accept-encoding")
    said = {"method": request.method, "sha": sha, "query": request.url.query, "packed": packed}
    return JSONResponse(said)


async def echo_texts(ws: WebSocket) -> None:
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)


@contextmanager
def asking(proxy: FaultProxy, path: str = "/alphabet", more: str = "") -> Iterator[socket.socket]:
    """A plain socket that has just sent a request."""
    with closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=40)) as sock:
        sock.sendall(f"POST {path} HTTP/1.1\r\nHost: there\r\n{more}\r\n".encode())
        yield sock


def talking(proxy: FaultProxy) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{proxy.port}/ws", proxy=None, compression=None)


def rest_of(sock: socket.socket) -> tuple[bytes, str]:
    """What arrives of a body, and how it ends; in place of the body "-" when nothing arrives."""
    received, end = b"", "closed"
    try:
        while data := sock.recv(65536):
            received += data
    except ConnectionResetError:
        end = "reset"
    return received.partition(b"\r\n\r\n")[2] if received else b"-", end
