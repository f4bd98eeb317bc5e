"""An upload while it arrives: streamed to the disk, its type told by its first bytes.

As soon as the type is known, so is the limit: nothing that is too large is received whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.body import media_type_of
from api.errors import ProblemError
from api.uploads.form import FileForm, malformed
from core.artefacts import HEAD_BYTES, extension_of
from core.settings import UploadSettings
from core.uploads import TAKEN, UploadType, shown_name, upload_type

_FLUSHED_TOGETHER: Final = 1_048_576
_EXTENSIONS: Final = {
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "application/json": "json",
    "model/obj": "obj",
    "model/stl": "stl",
    "model/gltf+json": "gltf",
}
"""For a raw body without a name, whose bytes do not tell its type."""
_WORDS: Final = {
    "image": "an image",
    "video": "a video",
    "audio": "a sound",
    "model3d": "a 3D model",
    "file": "such a file",
}


@dataclass(frozen=True)
class Arrived:
    """A whole file on the disk, as it came."""

    file: Path
    name: str
    type: UploadType
    bytes: int
    sha256: str


async def receive(request: Request, file: Path, limits: UploadSettings) -> Arrived:
    """Write the body's file to ``file``. Raises ProblemError, HTTPException, OSError."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ProblemError("unsupported_media_type", "compressed bodies are not taken")
    content_type = request.headers.get("content-type", "")
    if (media_type_of(content_type) or content_type.partition(";")[0]) == "multipart/form-data":
        return await _of_form(request, content_type, file, limits)
    name = shown_name(request.query_params.get("filename"))
    hint = _EXTENSIONS.get(content_type.partition(";")[0].strip().lower())
    if hint is not None and not extension_of(name):
        name = f"{name or 'file'}.{hint}"
    with file.open("wb") as opened:
        arriving = _Arriving(opened, limits, name)
        async for piece in _pieces(request):
            await arriving.take(piece)
        return await arriving.end(file)


async def _of_form(
    request: Request, content_type: str, file: Path, limits: UploadSettings
) -> Arrived:
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if not boundary:
        raise malformed()
    form = FileForm(boundary)
    with file.open("wb") as opened:
        arriving = _Arriving(opened, limits, "")
        async for piece in _pieces(request):
            for part in form.feed(piece):
                arriving.name = shown_name(form.name)
                await arriving.take(part)
        form.end()
        arriving.name = shown_name(form.name)
        return await arriving.end(file)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect as error:
        raise HTTPException(400, "the client went away") from error


class _Arriving:
    def __init__(self, opened: BinaryIO, limits: UploadSettings, name: str) -> None:
        self.name = name
        self._opened = opened
        self._limits = limits
        self._digest = hashlib.sha256()
        self._size = 0
        self._waiting = bytearray()
        self._type: UploadType | None = None

    async def take(self, piece: bytes) -> None:
        self._size += len(piece)
        self._digest.update(piece)
        self._waiting += piece
        if self._type is None and len(self._waiting) >= HEAD_BYTES:
            self._type = self._told()
        if self._type is not None:
            self._check_size(self._type)
            if len(self._waiting) >= _FLUSHED_TOGETHER:
                await self._flush()

    async def end(self, file: Path) -> Arrived:
        found = self._type or self._told()
        self._check_size(found)
        await self._flush()
        await asyncio.to_thread(self._opened.flush)
        return Arrived(file, self.name, found, self._size, self._digest.hexdigest())

    def _told(self) -> UploadType:
        if not self._size:
            raise ProblemError("invalid_request", "the file is empty")
        found = upload_type(bytes(self._waiting[:HEAD_BYTES]), self.name)
        if found is None:
            raise ProblemError(
                "unsupported_media_type", f"this is none of the files that are taken: {TAKEN}"
            )
        return found

    def _check_size(self, found: UploadType) -> None:
        most = self._limits.bytes_max(found.kind)
        if self._size > most:
            setting = f"EASEL_UPLOADS__{found.kind.upper()}_BYTES"
            raise ProblemError(
                "payload_too_large",
                f"{_WORDS[found.kind]} may have {most} bytes at most ({setting})",
            )

    async def _flush(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        await asyncio.to_thread(self._opened.write, data)
