"""Grid sheets: the images of one row of a batch's manifest in labelled tables, as one image."""

from __future__ import annotations

import asyncio
import hashlib
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from api.batches.contact_sheet import paste, read_thumbnail
from api.batches.tables import Line, Table
from store.images import THUMBNAIL_PX, ImageFiles
from store.values import BatchItem, Image

PIXELS_MAX: Final = 24_000_000
"""Of a sheet's cells together: many are drawn small."""
GAP_PX: Final = 6
LABEL_PX: Final = 200
"""The widest label of a row."""
_CELL_MIN_PX: Final = 64
_WIDTH_MIN_PX: Final = 480
_BETWEEN_PX: Final = 18
_LINES_MAX: Final = 4
_BACKGROUND: Final = (255, 255, 255)
_EMPTY: Final = (236, 236, 240)
_INK: Final = (24, 24, 27)
_MUTED: Final = (110, 110, 120)
_WORDS: Final = {"failed": "Failed", "cancelled": "Cancelled"}

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_Ink = tuple[int, int, int]


class GridSheet:
    """A sheet of tables. Items without an image have an empty cell that says why."""

    def __init__(
        self,
        files: ImageFiles,
        title: str,
        tables: Sequence[Table],
        images: Mapping[UUID, Sequence[Image]],
    ) -> None:
        self._files = files
        self._title = title
        self._tables = tables
        self._images = images

    @property
    def etag(self) -> str:
        """An ETag that changes when the sheet does. Nothing is drawn for it."""
        said = [self._title]
        for table in self._tables:
            said += [table.caption, *table.columns]
            for line in table.lines:
                said += [line.label, *(self._state(item) for item in line.items)]
        return f'"{hashlib.sha256(repr(said).encode()).hexdigest()[:32]}"'

    def _state(self, item: BatchItem | None) -> str:
        if item is None:
            return ""
        images = self._images.get(item.generation_id)
        return images[0].sha256 if images else _said(item)

    async def draw(self) -> bytes:
        """Returns the sheet as a JPEG."""
        thumbnails: dict[UUID, bytes] = {}
        for table in self._tables:
            for item in (one for line in table.lines for one in line.items if one is not None):
                images = self._images.get(item.generation_id)
                data = await read_thumbnail(self._files, images[0]) if images else None
                if data is not None:
                    thumbnails[item.generation_id] = data
        ratio = _ratio([images[0] for images in self._images.values() if images])
        return await asyncio.to_thread(
            lambda: _Drawing(self._title, self._tables, ratio).draw(thumbnails)
        )


def _said(item: BatchItem) -> str:
    return _WORDS.get(item.generation.status, "") if item.generation is not None else ""


def _ratio(images: Sequence[Image]) -> float:
    """Returns the most common aspect ratio, 0.5 … 2."""
    if not images:
        return 1.0
    (width, height), _ = Counter((one.width, one.height) for one in images).most_common(1)[0]
    return max(0.5, min(2.0, width / height))


@dataclass(frozen=True)
class _Sizes:
    """Pixels of a cell, and of the labels beside the rows."""

    width: int
    height: int
    label: int

    @classmethod
    def of(cls, tables: Sequence[Table], ratio: float, font: _Font) -> _Sizes:
        """Returns the largest cells that a thumbnail fills and ``PIXELS_MAX`` permits."""
        cells = sum(len(table.columns) * len(table.lines) for table in tables)
        side = max(_CELL_MIN_PX, min(THUMBNAIL_PX, math.isqrt(PIXELS_MAX // max(1, cells))))
        labels = [line.label for table in tables for line in table.lines]
        widest = max((math.ceil(font.getlength(label)) for label in labels), default=0)
        wide, high = (side, side / ratio) if ratio >= 1 else (side * ratio, side)
        return cls(round(wide), round(high), min(LABEL_PX, widest + GAP_PX) if widest else 0)


@dataclass(frozen=True)
class _Head:
    """The texts above a table, in lines."""

    caption: list[str]
    columns: list[list[str]]

    @property
    def deepest(self) -> list[str]:
        """Returns the label of a column that has the most lines."""
        return max(self.columns, key=len)


class _Drawing:
    """A sheet while it is drawn, from its top to its bottom.

    Pillow's own font has Latin letters only: others show as boxes.
    """

    def __init__(self, title: str, tables: Sequence[Table], ratio: float) -> None:
        self._big, self._font = ImageFont.load_default(20), ImageFont.load_default(15)
        self._size = _Sizes.of(tables, ratio, self._font)
        across = max((len(table.columns) for table in tables), default=1)
        cells = across * (self._size.width + GAP_PX)
        width = max(_WIDTH_MIN_PX, 2 * GAP_PX + self._size.label + cells)
        inner = width - 4 * GAP_PX
        self._title = wrap(title, self._big, inner)
        self._heads = [
            _Head(
                wrap(table.caption, self._font, inner),
                [wrap(label, self._font, self._size.width) for label in table.columns],
            )
            for table in tables
        ]
        self._tables = tables
        self._top = GAP_PX
        self._sheet = Pillow.new("RGB", (width, self._whole_height()), _BACKGROUND)
        self._brush = ImageDraw.Draw(self._sheet)

    def _whole_height(self) -> int:
        height = GAP_PX + _height(self._title, self._big)
        for table, head in zip(self._tables, self._heads, strict=True):
            height += _height(head.caption, self._font) + _height(head.deepest, self._font)
            height += len(table.lines) * (self._size.height + GAP_PX) + _BETWEEN_PX
        return height

    def draw(self, thumbnails: Mapping[UUID, bytes]) -> bytes:
        """Returns it as a JPEG."""
        self._write(self._title, self._big, 2 * GAP_PX, _INK)
        self._top += _height(self._title, self._big)
        for table, head in zip(self._tables, self._heads, strict=True):
            self._draw_head(head)
            for line in table.lines:
                self._draw_line(line, thumbnails)
            self._top += _BETWEEN_PX
        buffer = io.BytesIO()
        self._sheet.save(buffer, "JPEG", quality=88, optimize=True)
        return buffer.getvalue()

    def _draw_head(self, head: _Head) -> None:
        self._write(head.caption, self._font, 2 * GAP_PX, _MUTED)
        self._top += _height(head.caption, self._font)
        for number, label in enumerate(head.columns):
            self._write(label, self._font, self._left(number), _INK)
        self._top += _height(head.deepest, self._font)

    def _draw_line(self, line: Line, thumbnails: Mapping[UUID, bytes]) -> None:
        if self._size.label:
            label = wrap(line.label, self._font, self._size.label - GAP_PX)
            self._write(label, self._font, GAP_PX, _INK)
        for number, item in enumerate(line.items):
            left = self._left(number)
            box = (left, self._top, left + self._size.width, self._top + self._size.height)
            data = thumbnails.get(item.generation_id) if item is not None else None
            if data is None or not paste(self._sheet, data, box):
                self._brush.rectangle(box, fill=_EMPTY)
                if item is not None:
                    self._write([_said(item)], self._font, left + GAP_PX, _MUTED)
        self._top += self._size.height + GAP_PX

    def _left(self, column: int) -> int:
        return GAP_PX + self._size.label + column * (self._size.width + GAP_PX)

    def _write(self, lines: Sequence[str], font: _Font, left: int, ink: _Ink) -> None:
        for number, text in enumerate(lines):
            top = self._top + number * _line_height(font)
            self._brush.text((left, top), text, fill=ink, font=font)


def _line_height(font: _Font) -> int:
    return math.ceil(font.getbbox("Ägp")[3]) + 4


def _height(lines: Sequence[str], font: _Font) -> int:
    return len(lines) * _line_height(font) + (GAP_PX if lines else 0)


def wrap(text: str, font: _Font, width: int) -> list[str]:
    """Returns the text in lines of at most ``width`` pixels; what does not fit ends with "…"."""
    lines: list[str] = []
    left = " ".join(text.split())
    while left and len(lines) < _LINES_MAX:
        fits = _fitting(left, font, width)
        if fits < len(left):
            blank = left.rfind(" ", 0, fits + 1)
            fits = blank if blank > 0 else fits
        lines.append(left[:fits].rstrip())
        left = left[fits:].lstrip()
    if left:
        last = lines[-1]
        while last and font.getlength(f"{last}…") > width:
            last = last[:-1]
        lines[-1] = f"{last.rstrip()}…"
    return lines


def _fitting(text: str, font: _Font, width: int) -> int:
    """Returns the number of characters that fit, at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low
