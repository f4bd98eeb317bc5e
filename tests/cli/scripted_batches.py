"""The API's routes for batches on a real socket, answering as a test tells them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

LOST = 599
"""In the place of a status: the answer is lost on its way."""
BATCH = "33333333-3333-4333-8333-333333333333"
COUNTS = (
    "waiting",
    "queued",
    "running",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
    "deleted",
)


def batch(status: str, total: int = 4, *, code: str | None = None, **counts: int) -> dict[str, Any]:
    ended = sum(counts.get(name, 0) for name in ("succeeded", "failed", "cancelled"))
    return {
        "batch_id": BATCH,
        "name": "animals",
        "status": status,
        "total": total,
        "counts": {name: counts.get(name, 0) for name in COUNTS},
        "percent": 100 * ended / total,
        "rate_per_minute": None,
        "eta_s": None,
        "gpu_seconds": 1.5,
        "waiting": {"code": code, "detail": f"because: {code}"} if code else None,
        "error": None,
        "skipped": [],
    }


def item(position: int, *images: bytes, prompt: str = "a red fox", **more: Any) -> dict[str, Any]:
    return {
        "position": position,
        "row": position + 2,
        "request": {"prompt": prompt},
        "generation": {"status": "succeeded", "error": None},
        "images": [image(data, f"{position}-{number}") for number, data in enumerate(images)],
        **more,
    }


def failed_item(position: int, detail: str) -> dict[str, Any]:
    return item(position, generation={"status": "failed", "error": {"detail": detail}})


def image(data: bytes, image_id: str = "0-0") -> dict[str, Any]:
    return {
        "image_id": image_id,
        "content_type": "image/png",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


@dataclass(frozen=True)
class Sent:
    """A create as it arrived."""

    query: dict[str, str]
    content_type: str
    key: str | None
    body: bytes


@dataclass
class ScriptedBatches:
    """``now`` is the batch; ``next`` is what it becomes with each look, a number an HTTP status.

    ``creates`` are the first answers to a create, by status and body; later ones accept it.
    """

    url: str = ""
    now: dict[str, Any] = field(default_factory=lambda: batch("succeeded", 1, succeeded=1))
    next: list[dict[str, Any] | int] = field(default_factory=list)
    creates: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    silent: bool = False
    """No answer to a create."""
    replayed: bool = False
    plan: dict[str, Any] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    page_size: int = 100
    pictures: dict[str, bytes | int] = field(default_factory=dict)
    """Bytes by the image's id; a number is the status that it is refused with."""
    conflicts: bool = False
    """Changes are refused: somebody was quicker."""
    sent: list[Sent] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    pages: list[str | None] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody looks how the batch stands, or waits for an answer in vain."""

    async def create(self, request: web.Request) -> web.Response:
        headers = request.headers
        self.sent.append(
            Sent(
                dict(request.query),
                headers["Content-Type"],
                headers.get("Idempotency-Key"),
                await request.read(),
            )
        )
        if self.silent:
            self.asked.set()
            await asyncio.Event().wait()
        if self.creates:
            status, body = self.creates.pop(0)
            if status == LOST and request.transport is not None:
                request.transport.abort()
            return web.json_response(body, status=status)
        if request.query.get("dry_run") == "true":
            return web.json_response(self.plan)
        replayed = {"Idempotency-Replayed": "true"} if self.replayed else {}
        return web.json_response(self.now, status=202, headers=replayed)

    async def status(self, _request: web.Request) -> web.Response:
        self.asked.set()
        if self.next:
            became = self.next.pop(0)
            if isinstance(became, int):
                return web.json_response({"detail": "not now"}, status=became)
            self.now = became
        return web.json_response(self.now)

    async def change(self, request: web.Request) -> web.Response:
        self.changes.append(request.match_info["change"])
        if self.conflicts:
            return web.json_response({"detail": "the batch is queued"}, status=409)
        if self.next and isinstance(became := self.next.pop(0), dict):
            self.now = became
        return web.json_response(self.now, status=202)

    async def page(self, request: web.Request) -> web.Response:
        cursor = request.query.get("cursor")
        self.pages.append(cursor)
        behind = int(cursor) if cursor is not None else -1
        wanted = request.query.getall("status")
        found = [
            each
            for each in self.items
            if each["position"] > behind and each["generation"]["status"] in wanted
        ]
        page, rest = found[: self.page_size], found[self.page_size :]
        more = str(page[-1]["position"]) if rest else None
        return web.json_response({"items": page, "next_cursor": more})

    async def picture(self, request: web.Request) -> web.Response:
        image_id = request.match_info["image_id"]
        self.downloads.append(image_id)
        found = self.pictures.get(image_id, 404)
        if isinstance(found, int):
            return web.json_response({"detail": "gone"}, status=found)
        return web.Response(body=found)

    def show(self, *items: dict[str, Any], **pictures: bytes) -> None:
        """These are the items; their pictures' bytes are those given, by position and number."""
        self.items = list(items)
        self.pictures = {name.strip("p").replace("_", "-"): data for name, data in pictures.items()}


@asynccontextmanager
async def serve_batches(api: ScriptedBatches, port: int = 0) -> AsyncIterator[ScriptedBatches]:
    app = web.Application()
    batches = "/api/v1/batches"
    app.router.add_post(batches, api.create)
    app.router.add_get(f"{batches}/{BATCH}", api.status)
    app.router.add_get(f"{batches}/{BATCH}/items", api.page)
    app.router.add_post(f"{batches}/{BATCH}/{{change}}", api.change)
    app.router.add_get("/api/v1/images/{image_id}", api.picture)
    app.router.add_get("/api/v1/artefacts/{image_id}", api.picture)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await runner.cleanup()
