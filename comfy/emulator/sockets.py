"""The websockets: which clients are registered and which messages they get, as in ComfyUI."""

import asyncio
import json
import struct
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from .faults import Faults

PREVIEW = 1
PREVIEW_WITH_METADATA = 4
JPEG = 1
PNG = 2

Message = tuple[str | int, Any, str | None]
"""(JSON type or binary event type, data or bytes, clientId or None for everyone)."""


class Sockets:
    """One socket for each clientId, and one loop that sends in order.

    One loop for all, each send awaited: a client that stops reading blocks all
    others once its TCP buffers are full. That is how the real server behaves.
    """

    def __init__(
        self, faults: Faults, queue_remaining: Callable[[], int], features: dict[str, Any]
    ) -> None:
        self._faults = faults
        self._features = features
        self._queue_remaining = queue_remaining
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._flags: dict[str, dict[str, Any]] = {}
        self._open: dict[web.WebSocketResponse, asyncio.Transport | None] = {}
        self._stalled: set[web.WebSocketResponse] = set()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self.owner: str | None = None
        """The client_id of the running prompt."""
        self.last_node_id: str | None = None

    def send(self, kind: str | int, data: Any, client_id: str | None) -> None:
        """Queue a message, from any thread; to everyone if `client_id` is None."""
        try:
            self._loop.call_soon_threadsafe(self._outbox.put_nowait, (kind, data, client_id))
        except RuntimeError:
            return  # the loop is gone: the emulator was stopped under the worker

    def send_status(self) -> None:
        """Tell everyone how many prompts are left."""
        self.send("status", {"status": self.status()}, None)

    def status(self) -> dict[str, Any]:
        """The body of `status` messages and of GET /prompt."""
        return {"exec_info": {"queue_remaining": self._queue_remaining()}}

    def wants_metadata(self, client_id: str | None) -> bool:
        """Whether that client negotiated previews with metadata (event type 4)."""
        flags = self._flags.get(client_id or "", {})
        return flags.get("supports_preview_metadata") is True

    def __len__(self) -> int:
        return len(self._open)

    async def publish(self) -> None:
        """Send what `send` queued, until cancelled."""
        while True:
            kind, data, client_id = await self._outbox.get()
            targets = self._targets(client_id)
            if isinstance(kind, int):
                frame = struct.pack(">I", kind) + data
                for socket in targets:
                    await self._deliver(socket, frame)
            else:
                text = json.dumps({"type": kind, "data": data})
                for socket in targets:
                    await self._deliver(socket, text)
                if kind == "progress" and self._faults.count_progress():
                    self.drop_all()

    def _targets(self, client_id: str | None) -> list[web.WebSocketResponse]:
        if client_id is None:
            return list(self._sockets.values())
        socket = self._sockets.get(client_id)
        return [] if socket is None else [socket]

    async def _deliver(self, socket: web.WebSocketResponse, frame: str | bytes) -> None:
        if socket in self._stalled:
            return
        try:
            if isinstance(frame, str):
                await socket.send_str(frame)
            else:
                await socket.send_bytes(frame)
        except ConnectionError:
            return  # gone; its handler unregisters it

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /ws."""
        if self._faults.refuses_sockets():
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sid = request.rel_url.query.get("clientId", "") or uuid.uuid4().hex
        self._sockets[sid] = socket
        self._flags[sid] = {}
        self._open[socket] = request.transport
        try:
            await self._greet(socket, sid)
            await self._listen(socket, sid)
        except ConnectionError:
            pass
        finally:
            # By id, not by socket: when an older socket of the same clientId closes,
            # the newer one is unregistered and gets nothing more. A real, recorded bug.
            self._sockets.pop(sid, None)
            self._flags.pop(sid, None)
            self._open.pop(socket, None)
            self._stalled.discard(socket)
        return socket

    async def _greet(self, socket: web.WebSocketResponse, sid: str) -> None:
        hello = {"type": "status", "data": {"status": self.status(), "sid": sid}}
        await self._deliver(socket, json.dumps(hello))
        if self.owner == sid and self.last_node_id is not None:
            # Without a prompt_id, as recorded.
            current = {"type": "executing", "data": {"node": self.last_node_id}}
            await self._deliver(socket, json.dumps(current))

    async def _listen(self, socket: web.WebSocketResponse, sid: str) -> None:
        negotiating = True
        async for message in socket:
            if message.type is not WSMsgType.TEXT or not negotiating:
                continue
            try:
                said = json.loads(message.data)
            except ValueError:
                continue
            if not isinstance(said, dict):
                continue
            negotiating = False
            if said.get("type") == "feature_flags":
                flags = said.get("data", {})
                self._flags[sid] = flags if isinstance(flags, dict) else {}
                answer = {"type": "feature_flags", "data": self._features}
                await self._deliver(socket, json.dumps(answer))

    def drop_all(self) -> int:
        """Cut every socket without a close frame; clients see code 1006."""
        transports = [transport for transport in self._open.values() if transport is not None]
        for transport in transports:
            transport.abort()
        return len(transports)

    def stall(self, client_id: str | None) -> int:
        """Open sockets (of one client, or all) stay open and get nothing more."""
        self._stalled.update(self._targets(client_id))
        return len(self._stalled)

    def resume(self) -> None:
        """End `stall`."""
        self._stalled.clear()


def preview_frame(
    metadata: dict[str, Any] | None, image_type: int, image: bytes
) -> tuple[int, bytes]:
    """(event type, payload) of a picture: type 4 with metadata, else type 1."""
    if metadata is None:
        return PREVIEW, struct.pack(">I", image_type) + image
    mime = "image/png" if image_type == PNG else "image/jpeg"
    header = json.dumps({**metadata, "image_type": mime}).encode()
    return PREVIEW_WITH_METADATA, struct.pack(">I", len(header)) + header + image
