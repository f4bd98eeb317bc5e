"""One incarnation of the server: it starts, serves, and is killed."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from .control import Control
from .faults import Answer, Hooks
from .files import Files, cut_short
from .information import Information
from .jobs import Jobs
from .machine import Machine
from .routes import Routes
from .worker import Worker
from .workflows import Workflows

UPLOAD_LIMIT = 100 * 2**20
GRACE = 0.2
"""Seconds for handlers to notice that their connection has closed."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves a `Machine` on a real socket. Not restartable: make a new one."""

    def __init__(self, machine: Machine, restart: Callable[[float], None]) -> None:
        self._machine = machine
        self._worker = Worker(machine)
        self._runner = web.AppRunner(self._app(restart), access_log=None, shutdown_timeout=GRACE)
        self._publisher: asyncio.Task[None] | None = None
        self._listening: socket.socket | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and work; returns the port. Raises OSError if it is taken."""
        await self._runner.setup()
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listening = socket.create_server((host, port), family=family)
        except OSError:
            await self._runner.cleanup()
            raise
        await web.SockSite(self._runner, self._listening).start()
        machine = self._machine
        machine.faults.bind(
            Hooks(
                drop_sockets=machine.sockets.drop_all,
                stall_sockets=machine.sockets.stall,
                resume_sockets=machine.sockets.resume,
                forget=machine.queue.forget,
            )
        )
        self._publisher = asyncio.create_task(machine.sockets.publish())
        self._worker.start()
        address = self._runner.addresses[0]
        return int(address[1])

    async def kill(self) -> None:
        """Stop at once, as after SIGKILL: connections are cut, nothing is drained."""
        self._worker.stop()
        await self._refuse_connections()
        if self._runner.server is not None:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
        if self._publisher is not None:
            self._publisher.cancel()
        await self._runner.cleanup()
        await asyncio.to_thread(self._worker.join, 5.0)

    async def _refuse_connections(self) -> None:
        """Listen no more. Those that are on their way in come in first: Python 3.11 loses them."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            for _ in range(3):
                await asyncio.sleep(0)
        for site in list(self._runner.sites):
            await site.stop()

    def _app(self, restart: Callable[[float], None]) -> web.Application:
        app = web.Application(
            middlewares=[self._options_middleware, self._origin_middleware, self._fault_middleware],
            client_max_size=UPLOAD_LIMIT,
        )
        machine = self._machine
        files = Files(machine.folders, machine.faults, machine.release)
        app.add_routes(Control(machine.faults, machine.ledger, restart).table())
        for route in (
            *Jobs(machine.queue, machine.pacing, machine.release).table(),
            *Routes(machine).table(),
            *Information(machine).table(),
            web.get("/view", files.view),
            web.post("/upload/image", files.upload),
            web.post("/upload/mask", files.upload_mask),
            *Workflows(machine.folders, machine.options.templates_dir, machine.release).table(),
            web.get("/ws", machine.sockets.handle),
        ):
            if route.path.startswith("/internal/"):
                app.add_routes([route])  # these under no other prefix
                continue
            prefixed = web.RouteDef(route.method, f"/api{route.path}", route.handler, route.kwargs)
            app.add_routes([route, prefixed])
        # The real one serves its web page here; so GET on a POST-only path is 404, not 405.
        app.router.add_get("/{path:.*}", _not_found)
        return app

    @web.middleware
    async def _options_middleware(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        return web.Response() if request.method == "OPTIONS" else await handler(request)

    @web.middleware
    async def _origin_middleware(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        if is_cross_origin(request.headers.get("Host"), request.headers.get("Origin")):
            return web.Response(status=403)
        return await handler(request)

    @web.middleware
    async def _fault_middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix("/api")
        if path.startswith("/emulator/"):
            return await handler(request)
        if request.method == "POST" and path == "/prompt":
            drop = self._machine.faults.reply_drop()
            if drop is not None:
                return await _drop(request, handler, accepted=drop.accepted)
        rule = self._machine.faults.answer_for(request.method, path)
        return await handler(request) if rule is None else await _answer(request, handler, rule)


async def _drop(request: web.Request, handler: Handler, *, accepted: bool) -> web.StreamResponse:
    response = await handler(request) if accepted else web.Response()
    if request.transport is not None:
        request.transport.abort()
    return response


async def _answer(request: web.Request, handler: Handler, rule: Answer) -> web.StreamResponse:
    await asyncio.sleep(rule.delay)
    response: web.StreamResponse
    if rule.status is None and rule.body is None:
        response = await handler(request)
    else:
        response = web.Response(
            status=rule.status or 200, text=rule.body or "", content_type=rule.content_type
        )
    if rule.truncate is None or not isinstance(response, web.Response):
        return response
    body = response.body if isinstance(response.body, bytes) else b""
    return await cut_short(request, body, rule.truncate, response.content_type)


async def _not_found(_: web.Request) -> web.Response:
    return web.Response(status=404, content_type="application/octet-stream")


def is_cross_origin(host: str | None, origin: str | None) -> bool:
    """ComfyUI's guard: on a loopback Host, any Origin must be that very host."""
    if not host or not origin:
        return False
    there, here = urlsplit(origin.lower()), urlsplit(f"//{host.lower()}")
    if not _is_loopback(here.hostname):
        return False
    ours = here.netloc if there.port is not None else here.hostname
    return bool(ours and there.netloc) and ours != there.netloc


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
