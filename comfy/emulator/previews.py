"""Sampler previews: one picture getting clearer with each step."""

import io
import random

from PIL import Image

SIZE = 512
SMALL = 160


class Previews:
    """JPEG previews of one picture, fitted to 512 pixels, up or down as ComfyUI does."""

    def __init__(self, picture: Image.Image, steps: int) -> None:
        scale = SIZE / max(picture.size)
        self._steps = steps
        self._size = _fit(picture.size, scale)
        small = _fit(picture.size, SMALL / max(picture.size))
        self._clear = picture.resize(small, Image.Resampling.BOX)
        noise = random.Random(steps).randbytes(small[0] * small[1] * 3)  # noqa: S311
        self._noise = Image.frombytes("RGB", small, noise)

    def at(self, step: int) -> bytes:
        """The preview after `step`, counted from 1."""
        done = step / self._steps
        mixed = Image.blend(self._noise, self._clear, min(1.0, 0.25 + 0.75 * done))
        # Coarse at first: fewer pixels are cheaper than a blur and look like one.
        coarse = _fit(self._clear.size, 0.15 + 0.85 * done)
        mixed = mixed.resize(coarse, Image.Resampling.BOX)
        buffer = io.BytesIO()
        mixed.resize(self._size, Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=80)
        return buffer.getvalue()


def _fit(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
