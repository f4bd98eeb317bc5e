"""Pictures in small."""

from __future__ import annotations

from typing import Final

from PIL import Image

POSTER_PX: Final = 384
"""The longer side of a poster, in pixels."""


def in_small(picture: Image.Image) -> Image.Image:
    """Returns a picture in RGB, as large as a poster at most. Raises as Pillow does.

    Both sides keep their ratio; a picture that is smaller stays as it is.
    """
    small = picture.convert("RGB")
    small.thumbnail((POSTER_PX, POSTER_PX), reducing_gap=2.0)
    return small
