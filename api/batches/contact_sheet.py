"""Contact sheets: many finished pictures of a batch as one small picture."""

from __future__ import annotations

import asyncio
import hashlib
import io
import math
from collections.abc import Sequence
from typing import Final

from PIL import Image as Pillow
from PIL import ImageDraw, UnidentifiedImageError

from store.artefacts.files import ArtefactFiles
from store.errors import ArtefactStoreError
from store.values import Artefact

PER_SHEET: Final = 100
CELL_PX: Final = 160
GAP_PX: Final = 6
COLUMNS_MAX: Final = 10
_BACKGROUND: Final = (24, 24, 27)
_LABEL: Final = (250, 250, 250)
_SHADE: Final = (24, 24, 27)


class ContactSheet:
    """A sheet of pictures with their items' positions; unreadable ones stay empty."""

    def __init__(self, files: ArtefactFiles, shown: Sequence[tuple[int, Artefact]]) -> None:
        self._files = files
        self._shown = shown

    @property
    def etag(self) -> str:
        """An ETag that changes when a picture on the sheet does. Nothing is drawn for it."""
        names = ",".join(f"{position}:{image.sha256}" for position, image in self._shown)
        return f'"{hashlib.sha256(names.encode()).hexdigest()[:32]}"'

    async def draw(self) -> bytes:
        """Returns the sheet as a JPEG."""
        thumbnails = [
            (position, await read_poster(self._files, each)) for position, each in self._shown
        ]
        return await asyncio.to_thread(_draw, thumbnails)


async def read_poster(files: ArtefactFiles, artefact: Artefact) -> bytes | None:
    """Returns an artefact's poster; None when it has none, or it cannot be read."""
    if artefact.poster_path is None:
        return None
    try:
        return await files.read(artefact.poster_path)
    except ArtefactStoreError:
        return None


def _draw(thumbnails: Sequence[tuple[int, bytes | None]]) -> bytes:
    columns = min(COLUMNS_MAX, max(1, math.ceil(math.sqrt(len(thumbnails)))))
    rows = math.ceil(len(thumbnails) / columns)
    step = CELL_PX + GAP_PX
    sheet = Pillow.new("RGB", (columns * step + GAP_PX, rows * step + GAP_PX), _BACKGROUND)
    brush = ImageDraw.Draw(sheet)
    for place, (position, data) in enumerate(thumbnails):
        left = GAP_PX + (place % columns) * step
        top = GAP_PX + (place // columns) * step
        if data is not None:
            paste(sheet, data, (left, top, left + CELL_PX, top + CELL_PX))
        _label(brush, str(position + 1), left, top)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=88, optimize=True)
    return buffer.getvalue()


def paste(sheet: Pillow.Image, data: bytes, box: tuple[int, int, int, int]) -> bool:
    """Draw an image into the middle of a box, no larger than the box. False if it is damaged."""
    left, top, right, bottom = box
    try:
        with Pillow.open(io.BytesIO(data)) as image:
            small = image.convert("RGB")
    except (UnidentifiedImageError, OSError):  # damaged on the disk
        return False
    small.thumbnail((right - left, bottom - top))
    spare_x, spare_y = right - left - small.width, bottom - top - small.height
    sheet.paste(small, (left + spare_x // 2, top + spare_y // 2))
    return True


def _label(brush: ImageDraw.ImageDraw, text: str, left: int, top: int) -> None:
    box = brush.textbbox((left + 5, top + 3), text)
    brush.rectangle((left, top, box[2] + 4, box[3] + 3), fill=_SHADE)
    brush.text((left + 5, top + 3), text, fill=_LABEL)
