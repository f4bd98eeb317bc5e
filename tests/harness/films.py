"""Videos for tests: real ones, that players play."""

from __future__ import annotations

import io

import av
from PIL import Image, ImageDraw


def film(frames: int = 40, rate: int = 10, size: tuple[int, int] = (160, 96)) -> bytes:
    """A WebM whose every frame is another one: a bar moves over a colour that changes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        stream = container.add_stream("libvpx-vp9", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_image(_picture(number, frames, size))  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def _picture(number: int, frames: int, size: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", size, (200 * number // frames, 90, 140))
    at = size[0] * number // frames
    ImageDraw.Draw(picture).rectangle((at, 0, at + size[0] // 8, size[1]), (240, 230, 200))
    return picture
