"""Finished pictures: fetched, verified, and found by name."""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from PIL import Image

from comfy.client import ComfyClient
from comfy.errors import ComfyProtocolError, NoOutputError
from comfy.messages import OutputImage
from core.ids import OUTPUT_SUBFOLDER, output_filename
from core.requests import SIZE_MAX

PIXELS_MAX: Final = SIZE_MAX * SIZE_MAX * 4
"""A picture of more pixels is not decoded: a few kilobytes can unpack to gigabytes."""
_FORMATS: Final = ("PNG", "JPEG", "WEBP")
_UNDECODABLE: Final = (
    OSError,
    SyntaxError,  # Pillow raises it for a broken PNG
    ValueError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # an exception where warnings are errors
)


@dataclass(frozen=True)
class FetchedImage:
    """A complete picture: its bytes as ComfyUI wrote them, its size in pixels, its media type."""

    data: bytes
    width: int
    height: int
    content_type: str


async def fetch(client: ComfyClient, image: OutputImage) -> FetchedImage:
    """Fetch a file and verify it by decoding all of it once, in a thread.

    ComfyUI does not write files atomically, so a truncated one is fetched a second time.

    Raises NoOutputError when there is no such file, ComfyProtocolError when it is not a picture.
    """
    try:
        return await _fetch_once(client, image)
    except ComfyProtocolError:
        return await _fetch_once(client, image)


async def find_by_name(
    client: ComfyClient, prompt_id: str, expected_images: int
) -> tuple[OutputImage, ...] | None:
    """Returns the prompt's finished files, if all of them exist and are complete.

    This finds pictures after ComfyUI lost its history. The last file is checked first:
    while it is missing (the usual case), one small request is enough.
    """
    images = [named(prompt_id, number) for number in range(1, expected_images + 1)]
    for image in reversed(images):
        if not await _is_whole(client, image):
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


async def _is_whole(client: ComfyClient, image: OutputImage) -> bool:
    """Whether the file exists and decodes; raises when ComfyUI does not answer."""
    for _attempt in range(2):
        try:
            data = await client.view(image)
        except NoOutputError:
            return False
        with suppress(ComfyProtocolError):
            await asyncio.to_thread(_decode, data, image.filename)
            return True
    return False


async def _fetch_once(client: ComfyClient, image: OutputImage) -> FetchedImage:
    return await asyncio.to_thread(_decode, await client.view(image), image.filename)


def _decode(data: bytes, name: str) -> FetchedImage:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            if picture.width * picture.height > PIXELS_MAX:
                raise ValueError(f"more than {PIXELS_MAX} pixels")
            picture.load()
            content_type = Image.MIME[picture.format or "PNG"]
            return FetchedImage(data, picture.width, picture.height, content_type)
    except _UNDECODABLE as exc:
        raise ComfyProtocolError(f"{name} is not a whole picture: {exc}") from exc
