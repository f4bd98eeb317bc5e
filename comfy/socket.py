"""The one websocket to ComfyUI: kept open, read continuously, reopened when it breaks."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from comfy.address import Address
from comfy.messages import Message, parse
from comfy.paid import Hiding
from core.loop import Loop
from core.text import readable

_FRAME_MAX: Final = 64 * 1024 * 1024
"""ComfyUI sends whole pictures of strangers in one frame. A longer one ends the connection."""
_DELAY_FIRST_S: Final = 0.1
_DELAY_MAX_S: Final = 2.0
_STEADY_S: Final = 10.0
"""A connection that lasted as long may be reopened at once; others ever more slowly."""
_HELLO: Final = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})

_log = logging.getLogger(__name__)


class ComfySocket:
    """Always reconnects, and passes every message to ``on_message``, which must not block.

    ComfyUI has one sender for all its clients: a reader that stalls stalls them all.
    ``on_open`` is awaited on each opening, while messages are read already, ``on_down`` after
    each failure. ``hiding`` takes a key out of the texts.
    """

    def __init__(
        self,
        address: Address,
        *,
        on_message: Callable[[Message], None],
        on_open: Callable[[], Awaitable[None]],
        on_down: Callable[[str], Awaitable[None]],
        hiding: Hiding | None = None,
    ) -> None:
        self._address = address
        self._hiding = hiding or Hiding()
        self._on_message = on_message
        self._on_open = on_open
        self._on_down = on_down
        self._client_id = str(uuid.uuid4())
        self._tried = asyncio.Event()
        self._delays = _delays()
        self._loop = Loop(
            "the websocket to ComfyUI", self._connect_once, every_s=0.0, retry_s=_DELAY_MAX_S
        )
        self.is_open = False
        self.last_heard = float("-inf")
        """When the last message came, on the event loop's clock (seconds)."""

    @property
    def client_id(self) -> str:
        """The id that ComfyUI sends this connection's messages to. A new one for each connection.

        With a reused id, the old connection's late end would unregister the new one at ComfyUI,
        which then stays open and silent.
        """
        return self._client_id

    async def start(self, *, patience_s: float) -> None:
        """Start connecting. Returns after the first attempt, or after ``patience_s``."""
        self._loop.start()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), patience_s)

    async def stop(self) -> None:
        """Close the connection and stop reconnecting."""
        await self._loop.stop()

    async def _connect_once(self) -> None:
        """One connection, from the attempt to its close, and the pause after it."""
        try:
            async with self._connect() as connection:
                await self._use(connection)
        except (OSError, WebSocketException) as exc:
            await self._ended(readable(str(exc), 300) or type(exc).__name__)
        except Exception as exc:  # a bug of ours costs one connection
            await self._ended(type(exc).__name__)
            raise
        else:
            await self._ended("the connection was closed")
        finally:
            self.is_open = False
        await asyncio.sleep(next(self._delays))

    async def _ended(self, reason: str) -> None:
        self.is_open = False
        await self._on_down(reason)
        self._tried.set()

    def _connect(self) -> connect:
        self._client_id = str(uuid.uuid4())
        return connect(
            f"{self._address.websocket_url}?clientId={self._client_id}",
            ssl=self._address.tls() if self._address.uses_tls else None,
            additional_headers=self._address.headers,
            compression=None,  # the pictures in it are compressed already
            max_size=_FRAME_MAX,
            proxy=None,
            open_timeout=10,
            close_timeout=1,
            ping_interval=10,  # ComfyUI sends none of its own
            ping_timeout=20,
        )

    async def _use(self, connection: ClientConnection) -> None:
        """Read it to its end."""
        # Must be the first message: features are not negotiated later.
        await connection.send(_HELLO)
        self.is_open = True
        clock = asyncio.get_running_loop()
        opened_at = clock.time()
        opening = asyncio.create_task(self._opened())
        try:
            await self._read(connection)
        finally:
            opening.cancel()
            await asyncio.wait([opening])
            if clock.time() - opened_at >= _STEADY_S:
                self._delays = _delays()

    async def _opened(self) -> None:
        await self._on_open()
        self._tried.set()

    async def _read(self, connection: ClientConnection) -> None:
        clock = asyncio.get_running_loop()
        async for frame in connection:
            self.last_heard = clock.time()
            message = parse(self._hiding.text(frame) if isinstance(frame, str) else frame)
            if message is None:
                _log.debug("malformed frame from ComfyUI, %d long", len(frame))
            else:
                self._on_message(message)


def _delays() -> Iterator[float]:
    """Seconds between attempts: doubling, with jitter so that clients do not reconnect in step."""
    delay = _DELAY_FIRST_S
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311
        delay = min(delay * 2, _DELAY_MAX_S)
