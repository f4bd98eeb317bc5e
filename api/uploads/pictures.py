"""Pictures that clients bring: decoded whole, turned upright, written again as PNG.

What leaves here has the size that its header says and nothing but pixels, 8 bits of red, green and
blue: no metadata, no colour profile (ComfyUI ignores it), nothing after its end. An alpha channel
stays, for masks; of an animation the first picture stays.
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
from flows.plain_pictures import COMPRESSION, plain

_READ_TOGETHER: Final = 1_048_576


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
    plain(picture).save(target, "PNG", compress_level=COMPRESSION)
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
