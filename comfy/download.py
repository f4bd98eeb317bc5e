"""A file of ComfyUI on its way: in chunks, limited in size and time, its length checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from comfy.errors import ComfyProtocolError, ComfyTimeoutError, UnusableFileError
from comfy.transport import translated
from core.artefacts import HEAD_BYTES

SLOWEST: Final = 256 * 1024
"""Bytes a second. A longer answer may take longer, but one that drips ends at last."""
_ANY_MAY_TAKE: Final = 32 * 1024 * 1024
"""A short file may take as long as one of so many bytes."""
_UNENCODED: Final = ("", "identity")


class Download:
    """The body of a response. ``name`` is the file's; ``bytes_max`` limits what is read of it.

    ``timeout_s`` is how long it may take beside what its size takes at ``SLOWEST``. Only the time
    that is spent waiting for ComfyUI counts.
    """

    def __init__(
        self, response: httpx.Response, name: str, bytes_max: int, timeout_s: float
    ) -> None:
        if response.headers.get("Content-Encoding", "").lower() not in _UNENCODED:
            raise UnusableFileError(f"{name} is compressed, though it was asked not to be")
        said = response.headers.get("Content-Length", "")
        self.name = name
        self.length = int(said) if said.isascii() and said.isdigit() else None
        """Its length as ComfyUI says it, in bytes."""
        self.limit(bytes_max)
        self.head = b""
        """Its first bytes, once it was begun."""
        self._left_s = timeout_s + max(self.length or bytes_max, _ANY_MAY_TAKE) / SLOWEST
        self._raw = response.aiter_raw()
        self._received = 0
        self._pending: list[bytes] = []

    def limit(self, bytes_max: int) -> None:
        """Read no more than so many bytes. Raises UnusableFileError if it says that it has more."""
        self._bytes_max = bytes_max
        if (self.length or 0) > bytes_max:
            raise self._too_long()

    async def begin(self) -> None:
        """Read what tells its type."""
        head = b""
        while len(head) < HEAD_BYTES and (chunk := await self._next()):
            head += chunk
        self._pending = [head] if head else []
        self.head = head[:HEAD_BYTES]

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yields all of it, from its beginning; once.

        Raises ComfyProtocolError when it is cut short, ComfyTimeoutError when it takes too long,
        UnusableFileError when it is too long.
        """
        while self._pending:
            yield self._pending.pop()
        while chunk := await self._next():
            yield chunk
        if self.length is not None and self._received != self.length:
            raise ComfyProtocolError(
                f"{self.name} has {self._received} bytes, and ComfyUI announced {self.length}"
            )

    async def _next(self) -> bytes:
        """Returns the next chunk, b"" at the end."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(self._left_s):
                chunk = await anext(self._raw, b"")
        except TimeoutError:
            raise ComfyTimeoutError(f"ComfyUI's answer with {self.name} took too long") from None
        except httpx.HTTPError as exc:
            raise translated(exc) from exc
        self._left_s -= clock() - began
        self._received += len(chunk)
        if self._received > self._bytes_max:
            del chunk
            raise self._too_long()
        return chunk

    def _too_long(self) -> UnusableFileError:
        return UnusableFileError(f"{self.name} is larger than {self._bytes_max / 1e6:.1f} MB")


@asynccontextmanager
async def downloaded(
    http: httpx.AsyncClient, params: dict[str, str], bytes_max: int, timeout_s: float
) -> AsyncIterator[tuple[httpx.Response, Download | None]]:
    """Ask for a file; without a download when the answer is not 200. Raises httpx's errors."""
    async with http.stream("GET", "/view", params=params) as response:
        if response.status_code != httpx.codes.OK:
            yield response, None
            return
        download = Download(response, params["filename"], bytes_max, timeout_s)
        await download.begin()
        yield response, download
