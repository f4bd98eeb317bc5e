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

from api.batches.contact_sheet import paste, read_poster
from api.batches.tables import Line, Table
from core.pictures import POSTER_PX
from store.artefacts.files import ArtefactFiles
from store.values import Artefact, BatchItem, main_of

PIXELS_MAX: Final = 24_000_000
"""Of a whole sheet: many cells are drawn small."""
SIDE_MAX_PX: Final = 16_000
"""Width and height of a sheet: browsers and editors open larger ones badly, and a JPEG ends at
65,500."""
GAP_PX: Final = 6
LABEL_PX: Final = 200
"""The widest label of a row."""
_CELL_MIN_PX: Final = 24
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
        files: ArtefactFiles,
        title: str,
        tables: Sequence[Table],
        artefacts: Mapping[UUID, Sequence[Artefact]],
    ) -> None:
        self._files = files
        self._title = title
        self._tables = tables
        self._artefacts = artefacts

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
        main = main_of(self._artefacts.get(item.generation_id, ()))
        return main.sha256 if main is not None else _said(item)

    async def draw(self) -> bytes:
        """Returns the sheet as a JPEG."""
        thumbnails: dict[UUID, bytes] = {}
        for table in self._tables:
            for item in (one for line in table.lines for one in line.items if one is not None):
                main = main_of(self._artefacts.get(item.generation_id, ()))
                data = await read_poster(self._files, main) if main is not None else None
                if data is not None:
                    thumbnails[item.generation_id] = data
        ratio = _ratio([main for kept in self._artefacts.values() if (main := main_of(kept))])
        return await asyncio.to_thread(
            lambda: _Drawing(self._title, self._tables, ratio).draw(thumbnails)
        )


def _said(item: BatchItem) -> str:
    return _WORDS.get(item.generation.status, "") if item.generation is not None else ""


def _ratio(shown: Sequence[Artefact]) -> float:
    """Returns the most common aspect ratio, 0.5 … 2."""
    sizes = Counter((one.width, one.height) for one in shown if one.width and one.height)
    if not sizes:
        return 1.0
    (width, height), _ = sizes.most_common(1)[0]
    return max(0.5, min(2.0, width / height))


@dataclass(frozen=True)
class _Sizes:
    """Pixels of a cell, and of the labels beside the rows."""

    width: int
    height: int
    label: int

    @classmethod
    def of(cls, tables: Sequence[Table], ratio: float, font: _Font) -> _Sizes:
        """Returns the largest cells that a thumbnail fills and that fit on a sheet, or the least.

        The texts above each table are taken to have all the lines that they may have.
        """
        labels = [line.label for table in tables for line in table.lines]
        widest = max((math.ceil(font.getlength(label)) for label in labels), default=0)
        label = min(LABEL_PX, widest + GAP_PX) if widest else 0
        line = _line_height(font)
        heads = len(tables) * (2 * (_LINES_MAX * line + GAP_PX) + _BETWEEN_PX)
        heads += 2 * _LINES_MAX * line  # title
        across = max((len(table.columns) for table in tables), default=1)
        down = sum(len(table.lines) for table in tables)
        for side in range(POSTER_PX, _CELL_MIN_PX, -2):
            size = cls.of_side(side, ratio, label)
            width = max(_WIDTH_MIN_PX, 2 * GAP_PX + label + across * (size.width + GAP_PX))
            height = heads + down * (max(size.height, line) + GAP_PX)
            if max(width, height) <= SIDE_MAX_PX and width * height <= PIXELS_MAX:
                return size
        return cls.of_side(_CELL_MIN_PX, ratio, label)

    @classmethod
    def of_side(cls, side: int, ratio: float, label: int) -> _Sizes:
        """Returns cells whose longer side is ``side``."""
        wide, high = (side, side / ratio) if ratio >= 1 else (side * ratio, side)
        return cls(round(wide), round(high), label)


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
        self._step = max(self._size.height, _line_height(self._font)) + GAP_PX
        self._tables, height = self._fitting(tables, width)
        self._left_out = len(tables) - len(self._tables)
        self._top = GAP_PX
        self._sheet = Pillow.new("RGB", (width, height), _BACKGROUND)
        self._brush = ImageDraw.Draw(self._sheet)

    def _fitting(self, tables: Sequence[Table], width: int) -> tuple[Sequence[Table], int]:
        """Returns the first tables that fit on a sheet, and its height."""
        note = _line_height(self._font) + GAP_PX
        room = min(SIDE_MAX_PX, PIXELS_MAX // width) - note
        height = GAP_PX + _height(self._title, self._big)
        for number, (table, head) in enumerate(zip(tables, self._heads, strict=True)):
            above = _height(head.caption, self._font) + _height(head.deepest, self._font)
            below = height + above + len(table.lines) * self._step + _BETWEEN_PX
            if number and below > room:
                return tables[:number], height + note
            height = below
        return tables, height

    def draw(self, thumbnails: Mapping[UUID, bytes]) -> bytes:
        """Returns it as a JPEG."""
        self._write(self._title, self._big, 2 * GAP_PX, _INK)
        self._top += _height(self._title, self._big)
        for table, head in zip(self._tables, self._heads, strict=False):
            self._draw_head(head)
            for line in table.lines:
                self._draw_line(line, thumbnails)
            self._top += _BETWEEN_PX
        if self._left_out:
            note = f"{self._left_out:,} more tables do not fit on this sheet"
            self._write([note], self._font, 2 * GAP_PX, _MUTED)
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
            most = min(_LINES_MAX, max(1, self._step // _line_height(self._font)))
            label = wrap(line.label, self._font, self._size.label - GAP_PX, most)
            self._write(label, self._font, GAP_PX, _INK)
        for number, item in enumerate(line.items):
            left = self._left(number)
            box = (left, self._top, left + self._size.width, self._top + self._size.height)
            data = thumbnails.get(item.generation_id) if item is not None else None
            if data is None or not paste(self._sheet, data, box):
                self._brush.rectangle(box, fill=_EMPTY)
                if item is not None:
                    said = wrap(_said(item), self._font, self._size.width - GAP_PX, 1)
                    self._write(said, self._font, left + GAP_PX, _MUTED)
        self._top += self._step

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


def wrap(text: str, font: _Font, width: int, most: int = _LINES_MAX) -> list[str]:
    """Returns the text in lines of at most ``width`` pixels; what does not fit ends with "…"."""
    lines: list[str] = []
    left = " ".join(text.split())
    while left and len(lines) < most:
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
