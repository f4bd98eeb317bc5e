"""A small API on a real socket that does what a test tells it: what a whole Easel rarely does."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import encode_basic_auth, web
from aiohttp.typedefs import Handler

TASK = "11111111-1111-4111-8111-111111111111"
IMAGE = "22222222-2222-4222-8222-222222222222"
PICTURE = b"\x89PNG not really"

Stream = Callable[[web.StreamResponse, str | None], Awaitable[None]]


def document(status: str, **more: Any) -> dict[str, Any]:
    return {
        "task_id": TASK,
        "status": status,
        "progress": None,
        "queue_position": None,
        "eta_s": None,
        "error": None,
        "urls": {"result": f"/api/v1/generation/result/{TASK}"},
        **more,
    }


async def send(response: web.StreamResponse, name: str, data: Any, number: int = 1) -> None:
    await response.write(f"event: {name}\nid: {number}\ndata: {json.dumps(data)}\n\n".encode())


@dataclass
class ScriptedApi:
    """``streams``: one for each connection; later connections get 503."""

    url: str = ""
    created: web.Response | None = None
    now: dict[str, Any] = field(default_factory=lambda: document("queued"))
    streams: list[Stream] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    resumed_from: list[str | None] = field(default_factory=list)
    picture: bytes = PICTURE
    content_type: str = "text/event-stream"
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody wants to follow."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    history: list[dict[str, Any]] = field(default_factory=list)
    deleted: bool = False
    workflows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Their documents by name."""
    uploads: list[bytes] = field(default_factory=list)
    login: str | None = None
    """What a proxy in front of it asks for, as ``user:password``."""

    async def create(self, request: web.Request) -> web.Response:
        self.requests.append(await request.json())
        return self.created or web.json_response(self.now, status=202)

    async def status(self, _request: web.Request) -> web.Response:
        return web.json_response(self.now)

    async def events(self, request: web.Request) -> web.StreamResponse:
        self.resumed_from.append(request.headers.get("Last-Event-ID"))
        self.asked.set()
        if not self.streams:
            return web.Response(status=503)
        response = web.StreamResponse(headers={"Content-Type": self.content_type})
        await response.prepare(request)
        await self.streams.pop(0)(response, request.headers.get("Last-Event-ID"))
        return response

    async def result(self, _request: web.Request) -> web.Response:
        image = {
            "image_id": IMAGE,
            "url": f"/api/v1/images/{IMAGE}",
            "content_type": "image/png",
            "sha256": hashlib.sha256(PICTURE).hexdigest(),
            "seed": 7,
        }
        return web.json_response({"task_id": TASK, "images": [image], "timings": {"total_s": 1.0}})

    async def image(self, _request: web.Request) -> web.Response:
        return web.Response(body=self.picture)

    async def read_history(self, request: web.Request) -> web.Response:
        return web.json_response({"items": self.history[: int(request.query["limit"])]})

    async def workflow(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.workflows:
            problem = {"code": "not_found", "detail": f"there is no workflow {name}"}
            return web.json_response(problem, status=404)
        return web.json_response(self.workflows[name])

    async def upload(self, request: web.Request) -> web.Response:
        data = await request.read()
        self.uploads.append(data)
        return web.json_response({"upload_id": hashlib.sha256(data).hexdigest()}, status=201)

    async def uploaded(self, request: web.Request) -> web.Response:
        known = [hashlib.sha256(data).hexdigest() for data in self.uploads]
        return web.Response(status=200 if request.match_info["id"] in known else 404)

    async def delete(self, _request: web.Request) -> web.Response:
        self.deleted = True
        return web.Response(status=204)

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readiness(self, _request: web.Request) -> web.Response:
        return web.json_response({"ready": True, "parts": []})

    async def cancel(self, _request: web.Request) -> web.Response:
        self.cancelled.set()
        self.now = document("cancelled")
        return web.json_response(self.now, status=202)


@asynccontextmanager
async def serve(api: ScriptedApi) -> AsyncIterator[ScriptedApi]:
    @web.middleware
    async def proxy(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization")
        if api.login is not None and given != encode_basic_auth(*api.login.split(":")):
            return web.Response(
                status=401, headers={"WWW-Authenticate": 'Basic realm="pictures"'}, text="<h1>401"
            )
        return await handler(request)

    app = web.Application(middlewares=[proxy])
    generation = "/api/v1/generation"
    app.router.add_post(f"{generation}/create", api.create)
    app.router.add_get(f"{generation}/status/{TASK}", api.status)
    app.router.add_get(f"{generation}/{TASK}/events", api.events)
    app.router.add_get(f"{generation}/result/{TASK}", api.result)
    app.router.add_post(f"{generation}/{TASK}/cancel", api.cancel)
    app.router.add_get(f"{generation}/history", api.read_history)
    app.router.add_delete(f"{generation}/{TASK}", api.delete)
    app.router.add_get("/api/v1/images/{image_id}", api.image)
    app.router.add_get("/api/v1/workflows/{name}", api.workflow)
    app.router.add_post("/api/v1/uploads", api.upload)
    app.router.add_head("/api/v1/uploads/{id}", api.uploaded)
    app.router.add_get("/healthz", api.health)
    app.router.add_get("/readyz", api.readiness)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await runner.cleanup()
