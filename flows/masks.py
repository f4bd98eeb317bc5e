"""Masks as clients bring them, made to mean one thing: white is what is to be changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PIL import Image as Pillow
from PIL import ImageChops

from comfy.workflows.layout import Box, Size
from flows.plain_pictures import grey, has_alpha, opened, plain, png_of

_OPAQUE: Final = 255


@dataclass(frozen=True)
class NormalMask:
    """A mask: white is to be changed, black stays, and any grey is a part of it.

    ``box`` has all that is not black, None if everything is. ``png`` is its file, 8 bits of red,
    green and blue; None if the file that it was read from has these very pixels.
    """

    size: Size
    box: Box | None
    png: bytes | None


def normal_mask(data: bytes, *, invert: bool) -> NormalMask:
    """Returns what a file means as a mask. Runs long: call it in a thread.

    Of a picture with transparency, what is transparent is to be changed; of any other, what is
    white. ``invert``: the opposite is meant. Raises UnusablePictureError.
    """
    picture = opened(data)
    change = _change(picture)
    if invert:
        change = ImageChops.invert(change)
    made = change.convert("RGB")
    box = change.getbbox()
    return NormalMask(
        size=Size(*change.size),
        box=None if box is None else Box(box[0], box[1], box[2] - box[0], box[3] - box[1]),
        png=None if _is_same(picture, made) else png_of(made),
    )


def _change(picture: Pillow.Image) -> Pillow.Image:
    """Returns how much of each pixel is to be changed. A picture that is opaque has no alpha."""
    if has_alpha(picture):
        alpha = plain(picture).getchannel("A")
        if alpha.getextrema()[0] != _OPAQUE:
            return ImageChops.invert(alpha)
    return grey(picture)


def _is_same(picture: Pillow.Image, made: Pillow.Image) -> bool:
    if picture.format != "PNG" or picture.mode != "RGB" or has_alpha(picture):
        return False
    return ImageChops.difference(picture, made).getbbox() is None
