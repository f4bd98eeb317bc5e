"""Pictures as every version of ComfyUI reads them alike: 8 bits of red, green and blue.

Its newer decoders read a grey PNG a little darker than an equal one in colour, and its older ones
clip 16 bits of grey to white.
"""

from __future__ import annotations

import io
import warnings
from typing import Final

from PIL import Image as Pillow

from core.png import SIGNATURE
from core.uploads import SIDE_MAX

PIXELS_MAX: Final = 100_000_000
"""The most pixels of a picture that is decoded here: it takes 400 MB meanwhile."""
COMPRESSION: Final = 3
"""Level 6 takes three times as long, and saves a twentieth."""
HEAD_BYTES: Final = 26
"""Of a PNG file these say how it has its pixels."""
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF")
_SIXTEEN_BITS: Final = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_WITH_ALPHA: Final = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_DEPTH, _COLOUR = 24, 25
_BITS: Final = 8
_GREYS: Final = frozenset({0, 4})


class UnusablePictureError(ValueError):
    """A file is no picture that can be decoded here; the text says why."""


def opened(data: bytes) -> Pillow.Image:
    """Returns the picture in a file, decoded; of an animation the first. Runs long.

    Raises UnusablePictureError for what is too large, damaged or none at all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata; sizes are checked here
        try:
            picture = Pillow.open(io.BytesIO(data), formats=_FORMATS)
            _check_size(*picture.size)
            picture.load()
        except (MemoryError, UnusablePictureError):
            raise
        except Pillow.DecompressionBombError as error:
            raise _too_large() from error
        except Exception as error:  # Pillow's own errors have no common base
            raise UnusablePictureError("it is no image that can be decoded") from error
    return picture


def _check_size(width: int, height: int) -> None:
    if width * height > PIXELS_MAX or max(width, height) > SIDE_MAX:
        raise _too_large()


def _too_large() -> UnusablePictureError:
    return UnusablePictureError(
        f"an image that is an input may have {PIXELS_MAX} pixels, and {SIDE_MAX} at each side"
    )


def plain(picture: Pillow.Image) -> Pillow.Image:
    """Returns the pixels alone, as RGB; as RGBA if they have transparency."""
    if has_alpha(picture):
        made = picture.convert("RGBA")
    elif picture.mode in _SIXTEEN_BITS:
        made = grey(picture).convert("RGB")
    else:
        made = picture.convert("RGB")
    if made is picture:
        made = picture.copy()
    made.info = {}
    return made


def has_alpha(picture: Pillow.Image) -> bool:
    """Returns whether a picture has an alpha channel, or a transparent colour."""
    return picture.mode in _WITH_ALPHA or "transparency" in picture.info


def grey(picture: Pillow.Image) -> Pillow.Image:
    """Returns its luminance in 8 bits. Pillow clips 16 bits to white; here they are scaled."""
    if picture.mode in _SIXTEEN_BITS:
        picture = picture.convert("I").point(lambda value: value * (1 / 257) + 0.5)
    return picture.convert("L")


def png_of(picture: Pillow.Image) -> bytes:
    """Returns a PNG file with the pixels alone. The same ones give the same file."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=COMPRESSION)
    return file.getvalue()


def is_read_alike(head: bytes) -> bool:
    """Returns whether a file is sent to ComfyUI as it is: false for a grey or 16-bit PNG."""
    if not head.startswith(SIGNATURE) or len(head) < HEAD_BYTES:
        return True
    return head[_DEPTH] <= _BITS and head[_COLOUR] not in _GREYS


__all__ = [
    "COMPRESSION",
    "HEAD_BYTES",
    "PIXELS_MAX",
    "UnusablePictureError",
    "grey",
    "has_alpha",
    "is_read_alike",
    "opened",
    "plain",
    "png_of",
]
