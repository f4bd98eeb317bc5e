"""Pictures that clients bring: decoded whole, turned upright, written again as PNG.

What leaves here has the size that its header says and nothing but pixels: no metadata, no colour
profile (ComfyUI ignores it), nothing after its end. An alpha channel stays, for masks; of an
animation the first picture stays; 16 bits of grey stay.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image as Pillow
from PIL import ImageOps

from api.errors import ProblemError
from core.uploads import SIDE_MAX

_COMPRESSION: Final = 3
"""Level 6 takes three times as long, and saves a twentieth."""
_READ_TOGETHER: Final = 1_048_576
_KEPT_MODES: Final = frozenset({"L", "LA", "RGB", "RGBA", "I;16"})
_SIXTEEN_BITS: Final = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_WITH_ALPHA: Final = frozenset({"PA", "La", "RGBa"})


@dataclass(frozen=True)
class NormalPicture:
    """A picture as it is kept."""

    width: int
    height: int
    bytes: int
    sha256: str


def normalise(source: Path, target: Path, decoder: str, pixels_max: int) -> NormalPicture:
    """Write the picture ``source`` to ``target`` as PNG. Raises ProblemError, OSError.

    Runs long: call it in a thread. ``decoder`` is the one of Pillow's that may read it.
    """
    picture = _decoded(source, decoder, pixels_max)
    _plain(picture).save(target, "PNG", compress_level=_COMPRESSION)
    return NormalPicture(*picture.size, target.stat().st_size, _sha256(target))


def _decoded(source: Path, decoder: str, pixels_max: int) -> Pillow.Image:
    with source.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata; sizes are checked here
        try:
            picture = Pillow.open(file, formats=(decoder,))
        except Pillow.DecompressionBombError as error:
            raise _too_large(pixels_max) from error
        except Exception as error:  # Pillow's own errors have no common base
            raise _broken() from error
        width, height = picture.size
        if width * height > pixels_max or max(width, height) > SIDE_MAX:
            raise _too_large(pixels_max)
        try:
            picture.load()
            return ImageOps.exif_transpose(picture)
        except MemoryError:
            raise
        except Exception as error:
            raise _broken() from error


def _plain(picture: Pillow.Image) -> Pillow.Image:
    """Returns the pixels alone, in a mode that PNG and ComfyUI have."""
    mode = picture.mode
    if mode in _SIXTEEN_BITS:
        plain = picture if mode == "I;16" else picture.convert("I").convert("I;16")
    elif mode in _WITH_ALPHA or "transparency" in picture.info:
        plain = picture.convert("RGBA")
    elif mode == "1":
        plain = picture.convert("L")
    else:
        plain = picture if mode in _KEPT_MODES else picture.convert("RGB")
    plain = plain.copy()
    plain.info = {}
    return plain


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(_READ_TOGETHER):
            digest.update(piece)
    return digest.hexdigest()


def _too_large(pixels_max: int) -> ProblemError:
    return ProblemError(
        "payload_too_large",
        f"an image may have {pixels_max} pixels (EASEL_UPLOADS__PIXELS), and {SIDE_MAX} at each "
        "side",
    )


def _broken() -> ProblemError:
    return ProblemError(
        "invalid_request", "the image cannot be decoded: it is damaged or incomplete"
    )
