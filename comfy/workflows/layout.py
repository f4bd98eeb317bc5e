"""Sizes and places in pixels: what is cropped, at which size it is sampled, where it goes back.

Pure arithmetic: nothing here knows models or graphs.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from core.workflows.limits import SIZE_MAX, SIZE_MIN

LARGEST: Final = 2.25
"""How much larger than a family's own area an image may be that is sampled as a whole: one and a
half times at each side. Beyond, models repeat themselves, and memory runs out."""


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """The area."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width} × {self.height}"


class Box(NamedTuple):
    """A part of a picture: its left upper corner, and its size, in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        """Width and height."""
        return Size(self.width, self.height)

    @classmethod
    def of(cls, size: Size) -> Box:
        """Returns the box of a whole picture."""
        return cls(0, 0, size.width, size.height)


def rounded(width: float, height: float, multiple: int) -> Size:
    """Returns the nearest size whose sides are multiples, within what Easel takes."""
    return Size(_side(width, multiple), _side(height, multiple))


def _side(length: float, multiple: int) -> int:
    smallest = math.ceil(SIZE_MIN / multiple)
    largest = SIZE_MAX // multiple
    return multiple * min(largest, max(smallest, round(length / multiple)))


def of_area(size: Size, pixels: int, multiple: int) -> Size:
    """Returns a size of the same shape with about this area."""
    factor = math.sqrt(pixels / size.pixels)
    return rounded(size.width * factor, size.height * factor, multiple)


def for_whole(size: Size, pixels: int, multiple: int) -> Size:
    """Returns the size at which a whole picture is sampled: its own, unless that is too large.

    ``pixels`` is the area that the family was trained for.
    """
    most = round(pixels * LARGEST)
    if size.pixels > most or max(size) > SIZE_MAX:
        return of_area(size, most, multiple)
    return rounded(size.width, size.height, multiple)


def within(size: Size, multiple: int) -> Size:
    """Returns the size at which a picture is drawn once more: its own, of a side that is allowed.

    The shape stays: where a side is too long, both are shortened.
    """
    factor = min(1.0, SIZE_MAX / max(size))
    return rounded(size.width * factor, size.height * factor, multiple)


def growth(feather: int, cell: int, crop: Size, work: Size) -> int:
    """Returns by how many of its own pixels a mask grows before its edge is made soft.

    Inside the mask all is to be changed, so it grows by the soft edge at least; and by one cell of
    ``cell`` pixels of what is sampled, or a thin mask vanishes where it is scaled to these.
    ``crop`` is the mask's size, ``work`` that of the sampling.
    """
    scale = max(1.0, crop.width / work.width, crop.height / work.height)
    return max(feather, math.ceil(cell * scale))


def around(box: Box, padding: int, smallest: int, within: Size) -> Box:
    """Returns the part of a picture that is seen around a box.

    It has ``padding`` pixels at each side of the box, and sides of ``smallest`` at least, as far as
    the picture reaches; where it would go beyond, it is moved inside.
    """
    x, width = _along(box.x, box.width, padding, smallest, within.width)
    y, height = _along(box.y, box.height, padding, smallest, within.height)
    return Box(x, y, width, height)


def _along(start: int, length: int, padding: int, smallest: int, end: int) -> tuple[int, int]:
    wanted = min(end, max(length + 2 * padding, smallest))
    middle = start + length / 2
    begin = math.floor(middle - wanted / 2)
    return min(max(0, begin), end - wanted), wanted
