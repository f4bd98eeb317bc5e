"""Finished pictures: fetched, verified, and found by name."""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from PIL import Image

from comfy.client import ComfyClient
from comfy.errors import ComfyProtocolError, NoOutputError, UnusableFileError
from comfy.messages import OutputImage
from core.ids import OUTPUT_SUBFOLDER, output_filename
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
_UNDECODABLE: Final = (
    OSError,
    SyntaxError,  # Pillow raises it for a broken PNG
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class FetchedImage:
    """A complete picture: its bytes as ComfyUI wrote them, its size in pixels, its media type."""

    data: bytes
    width: int
    height: int
    content_type: str


async def fetch(client: ComfyClient, image: OutputImage, pixels: int) -> FetchedImage:
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


async def find_by_name(
    client: ComfyClient, prompt_id: str, expected_images: int, pixels: int
) -> tuple[OutputImage, ...] | None:
    """Returns the prompt's finished files, if all of them exist and are complete.

    This finds pictures after ComfyUI lost its history. The last file is checked first:
    while it is missing (the usual case), one small request is enough.
    """
    images = [named(prompt_id, number) for number in range(1, expected_images + 1)]
    for image in reversed(images):
        if not await _is_whole(client, image, pixels):
            return None
    return tuple(images)


def named(prompt_id: str, number: int) -> OutputImage:
    """Returns the ``number``-th (from 1) file that a prompt's SaveImage writes."""
    return OutputImage(output_filename(prompt_id, number), OUTPUT_SUBFOLDER, "output")


def ours(prompt_id: str, images: Iterable[OutputImage]) -> tuple[OutputImage, ...]:
    """Returns the files that are named after the prompt.

    An identical graph is served from ComfyUI's cache, and then the history names the files
    of an earlier prompt, which may be gone or changed by now.
    """
    return tuple(
        image
        for image in images
        if image.type == "output"
        and image.subfolder == OUTPUT_SUBFOLDER
        and image.filename.startswith(f"{prompt_id}_")
    )


async def _is_whole(client: ComfyClient, image: OutputImage, pixels: int) -> bool:
    """Whether the file exists and decodes; raises when ComfyUI does not answer."""
    for _attempt in range(2):
        try:
            found = await _decoded(client, image, pixels)
        except (NoOutputError, UnusableFileError):
            return False
        if isinstance(found, FetchedImage):
            return True
    return False


async def _fetch_once(client: ComfyClient, image: OutputImage, pixels: int) -> FetchedImage:
    found = await _decoded(client, image, pixels)
    if isinstance(found, FetchedImage):
        return found
    if found.is_final:
        raise UnusableFileError(f"{image.filename} {found.reason}")
    raise ComfyProtocolError(f"{image.filename} {found.reason}")


@dataclass(frozen=True)
class _NoPicture:
    """Why bytes are not a picture. A value: an error's traceback would keep the bytes alive."""

    reason: str
    is_final: bool


async def _decoded(
    client: ComfyClient, image: OutputImage, pixels: int
) -> FetchedImage | _NoPicture:
    pixels_max = pixels * LARGER_BY
    data = await client.view(image, pixels_max * _PIXEL_BYTES_MAX + _EXTRA_BYTES)
    return await asyncio.to_thread(_decode, data, pixels_max)


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
            return FetchedImage(data, picture.width, picture.height, content_type)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return _NoPicture("has many more pixels than asked for", is_final=True)
    except _UNDECODABLE as exc:
        return _NoPicture(readable(f"is not a complete image: {exc}", 300), is_final=False)


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=tuple(_MAGIC))


def _begins(data: bytes, magic: bytes) -> bool:
    """Whether the file begins so, as far as there is any of it: it may be written just now."""
    return magic.startswith(data[: len(magic)])
