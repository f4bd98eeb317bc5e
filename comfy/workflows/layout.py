"""Sizes and places in pixels: what is cropped, at which size it is sampled, where it goes back."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """The area."""
        return self.width * self.height


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
