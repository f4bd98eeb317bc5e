"""Finished outputs: which are kept, fetched and verified."""

from __future__ import annotations

import asyncio
import io
import re
import struct
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from PIL import Image

from comfy.client import ComfyClient
from comfy.download import Download
from comfy.errors import ComfyProtocolError, NoOutputError, UnusableFileError
from comfy.messages import OUTPUTS_MAX, Output, OutputFile, OutputText
from core.artefacts import FileType, type_of
from core.ids import OUTPUT_SUBFOLDER
from core.pictures import in_small
from core.text import readable
from core.workflows.limits import SIZE_MAX

PIXELS_ASKED_MAX: Final = SIZE_MAX * SIZE_MAX
LARGER_BY: Final = 4
"""How many times the pixels that were asked for a picture may have: a model that rounds each side
up to its own grid can double a short one. A few kilobytes can unpack to gigabytes."""
_PIXEL_BYTES_MAX: Final = 8
"""RGBA with 16 bits a channel, not compressed."""
_EXTRA_BYTES: Final = 8 * 1024 * 1024
"""For what is in the file beside its pixels: the graph, and what custom nodes add."""
_MAGIC: Final = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "WEBP": b"RIFF"}
"""How a file of each format that is kept begins."""
_SAVED: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}_[\w.-]{1,100}", re.ASCII)
"""A file's name that begins with the id of its prompt."""
_UNDECODABLE: Final = (
    OSError,
    SyntaxError,  # Pillow raises it for a broken PNG
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class FetchedImage:
    """A complete picture: its bytes as ComfyUI wrote them, its size in pixels, its media type.

    ``small`` is the same as large as a poster is: it was decoded to be proved anyway.
    """

    data: bytes
    width: int
    height: int
    content_type: str
    small: Image.Image = field(compare=False, repr=False)


@dataclass(frozen=True)
class FetchedFile:
    """A file that is no picture, to be read in chunks, once. ``length`` in bytes, where known."""

    type: FileType
    chunks: AsyncIterator[bytes]
    length: int | None = None


async def fetch(client: ComfyClient, image: OutputFile, pixels: int) -> FetchedImage:
    """Fetch a file and verify it by decoding all of it once, in a thread.

    ``pixels`` is the size that was asked for. ComfyUI does not write files atomically, so a
    truncated one is fetched a second time.

    Raises NoOutputError when there is no such file, ComfyProtocolError when it is cut short, and
    UnusableFileError when it can never become a picture that may be kept.
    """
    try:
        return await _fetch_once(client, image, pixels)
    except ComfyProtocolError:
        return await _fetch_once(client, image, pixels)


@asynccontextmanager
async def opened(
    client: ComfyClient, file: OutputFile, pixels: int, bytes_max: int
) -> AsyncIterator[FetchedImage | FetchedFile]:
    """Fetch a file of any kind: a picture whole and proved, as ``fetch`` does, others in chunks.

    What a file is, its first bytes say before its name. Raises as ``fetch`` does; of others than
    pictures, also while the chunks are read. ``bytes_max`` is the most that any file may have.
    """
    async with client.download(file, bytes_max) as download:
        kind = type_of(download.head, file.filename, file.format, file.key)
        if not kind.is_picture:
            _check_file(download, kind, file)
            yield FetchedFile(kind, download.chunks(), download.length)
            return
        found = await _read_picture(download, pixels)
    if isinstance(found, _NoPicture) and not found.is_final:
        found = await _decoded(client, file, pixels)
    yield _picture_or_error(found, file)


def _check_file(download: Download, kind: FileType, file: OutputFile) -> None:
    """Raise for a file that is none: not written yet, or a page of what stands before ComfyUI."""
    if not download.head:
        raise ComfyProtocolError(f"{file.filename} is empty")
    if kind.kind == "file" and type_of(b"", file.filename).kind not in ("file", "text"):
        raise UnusableFileError(f"{file.filename} is a page of text, not what its name says")


def kept_of(outputs: Iterable[Output]) -> tuple[Output, ...]:
    """Returns what is kept of everything that a prompt gave, each once.

    Temporary files are previews, kept only where no node wrote a file of its own.
    """
    each = tuple(dict.fromkeys(outputs))
    written = any(isinstance(one, OutputFile) and one.type == "output" for one in each)
    kept = (
        one for one in each if isinstance(one, OutputText) or one.type == "output" or not written
    )
    return tuple(islice(kept, OUTPUTS_MAX))


def ours(prompt_id: str, files: Iterable[OutputFile]) -> tuple[OutputFile, ...]:
    """Returns the files that are named after the prompt.

    An identical graph is served from ComfyUI's cache, and then the history names the files
    of an earlier prompt, which may be gone or changed by now.
    """
    return tuple(
        file
        for file in files
        if file.type == "output"
        and file.subfolder == OUTPUT_SUBFOLDER
        and file.filename.startswith(f"{prompt_id}_")
    )


def saved_file(filename: str) -> OutputFile | None:
    """Returns the file of that name among those that Easel's prompts save; None for other names."""
    if _SAVED.fullmatch(filename) is None:
        return None
    return OutputFile(filename, OUTPUT_SUBFOLDER, "output")


async def is_whole(client: ComfyClient, file: OutputFile, pixels: int) -> bool:
    """Whether the file exists and is complete; raises when ComfyUI does not answer.

    A picture is if it decodes; of others the beginning is looked at only.
    """
    for _attempt in range(2):
        try:
            if not _is_named_as_picture(file):
                async with client.download(file, sys.maxsize) as download:
                    return download.head != b""
            found = await _decoded(client, file, pixels)
        except (NoOutputError, UnusableFileError):
            return False
        if isinstance(found, FetchedImage):
            return True
    return False


def _is_named_as_picture(file: OutputFile) -> bool:
    return type_of(b"", file.filename).is_picture


async def _fetch_once(client: ComfyClient, file: OutputFile, pixels: int) -> FetchedImage:
    return _picture_or_error(await _decoded(client, file, pixels), file)


def _picture_or_error(found: FetchedImage | _NoPicture, file: OutputFile) -> FetchedImage:
    if isinstance(found, FetchedImage):
        return found
    if found.is_final:
        raise UnusableFileError(f"{file.filename} {found.reason}")
    raise ComfyProtocolError(f"{file.filename} {found.reason}")


@dataclass(frozen=True)
class _NoPicture:
    """Why bytes are not a picture. A value: an error's traceback would keep the bytes alive."""

    reason: str
    is_final: bool


def _bytes_max(pixels: int) -> int:
    return pixels * LARGER_BY * _PIXEL_BYTES_MAX + _EXTRA_BYTES


async def _decoded(client: ComfyClient, file: OutputFile, pixels: int) -> FetchedImage | _NoPicture:
    data = await client.view(file, _bytes_max(pixels))
    return await asyncio.to_thread(_decode, data, pixels * LARGER_BY)


async def _read_picture(download: Download, pixels: int) -> FetchedImage | _NoPicture:
    download.limit(_bytes_max(pixels))
    try:
        data = b"".join([chunk async for chunk in download.chunks()])
    except ComfyProtocolError as exc:
        return _NoPicture(f"is cut short: {exc}", is_final=False)
    return await asyncio.to_thread(_decode, data, pixels * LARGER_BY)


def _decode(data: bytes, pixels_max: int) -> FetchedImage | _NoPicture:
    if not any(_begins(data, magic) for magic in _MAGIC.values()):
        return _NoPicture("is not a PNG, JPEG or WebP image", is_final=True)
    try:
        # Pillow's own limit warns, or raises where warnings are errors; this one is stricter.
        with _opened(data) as picture:
            if picture.width * picture.height > pixels_max:
                size = f"{picture.width}×{picture.height}"
                return _NoPicture(f"has {size} pixels, many more than asked for", is_final=True)
            picture.load()
            content_type = Image.MIME[picture.format or "PNG"]
            small = in_small(picture)
            return FetchedImage(data, picture.width, picture.height, content_type, small)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return _NoPicture("has many more pixels than asked for", is_final=True)
    except _UNDECODABLE as exc:
        return _NoPicture(readable(f"is not a complete image: {exc}", 300), is_final=False)


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=tuple(_MAGIC))


def _begins(data: bytes, magic: bytes) -> bool:
    """Whether the file begins so, as far as there is any of it: it may be written just now."""
    return magic.startswith(data[: len(magic)])
