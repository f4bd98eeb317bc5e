"""What makes the pictures of a scripted ComfyUI."""

from __future__ import annotations

import io
from typing import Protocol

from PIL import Image as Pillow

from core.requests import ResolvedRequest


class Painter(Protocol):
    """Makes the pictures of a scripted ComfyUI. Called in threads."""

    def picture(self, request: ResolvedRequest, position: int) -> bytes:
        """Returns a finished picture, as a file that Pillow can open."""
        ...

    def preview(self, request: ResolvedRequest, done: float) -> bytes:
        """Returns the picture so far as a JPEG; ``done`` goes from 0 to 1."""
        ...


class PlainPainter:
    """Pictures of one colour, in the size that was asked for."""

    def picture(self, request: ResolvedRequest, position: int) -> bytes:
        """See ``Painter``. The colour follows from the seed."""
        shade = ((request.seed or 0) + 97 * position) % 256
        return _plain("PNG", request.size or (64, 64), (shade, 128, 128))

    def preview(self, request: ResolvedRequest, done: float) -> bytes:  # noqa: ARG002 - Painter's
        """See ``Painter``."""
        return _plain("JPEG", (64, 64), (int(255 * done), 128, 128))


def _plain(kind: str, size: tuple[int, int], color: tuple[int, int, int]) -> bytes:
    data = io.BytesIO()
    Pillow.new("RGB", size, color).save(data, kind)
    return data.getvalue()
