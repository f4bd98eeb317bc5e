"""Texts of MP4 and QuickTime files: their metadata boxes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from comfy.importing.bounds import JSON_MAX

_BOXES_MAX: Final = 20_000
_DEPTH_MAX: Final = 8
_OUTER: Final = (b"moov", b"udta", b"meta", b"trak")
_COMMENTS: Final = {b"\xa9cmt": "comment", b"\xa9des": "description", b"desc": "description"}
_TEXT_TYPES: Final = (0, 1)
"""The types of a ``data`` box that are UTF-8; 0 says nothing."""


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The texts of all metadata items. Raises struct.error."""
    yield from _Boxes(data).texts(0, len(data), 0)


class _Boxes:
    """One walk through one file; its boxes are counted."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _BOXES_MAX

    def _boxes(self, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """Kind, start and end of each box's body."""
        while at + 8 <= end and self._left > 0:
            self._left -= 1
            size, kind = struct.unpack_from(">I4s", self._data, at)
            body = at + 8
            if size == 1:
                (size,) = struct.unpack_from(">Q", self._data, at + 8)
                body = at + 16
            stop = end if size == 0 else at + size
            if stop < body or stop > end:
                return
            yield kind, body, stop
            at = stop

    def texts(self, at: int, end: int, depth: int) -> Iterator[tuple[str, str]]:
        """The texts between two places; ``keys`` counts for the ``ilst`` after it."""
        keys: list[str] = []
        for kind, body, stop in self._boxes(at, end):
            if kind == b"keys":
                keys = self._keys(body, stop)
            elif kind == b"ilst":
                yield from self._items(body, stop, keys)
            elif kind in _OUTER and depth < _DEPTH_MAX:
                yield from self.texts(self._inside(kind, body), stop, depth + 1)
            elif kind[:1] == b"\xa9" and depth:  # QuickTime's own: length, language, text
                text = self._data[body + 4 : min(stop, body + JSON_MAX)]
                yield (
                    _COMMENTS.get(kind, kind[1:].decode("latin-1")),
                    text.decode("utf-8", "replace"),
                )

    def _inside(self, kind: bytes, body: int) -> int:
        """Where the boxes inside begin: ``meta`` has a version in MP4, and none in QuickTime."""
        is_plain = kind != b"meta" or self._data[body + 4 : body + 8] == b"hdlr"
        return body if is_plain else body + 4

    def _keys(self, body: int, end: int) -> list[str]:
        (count,) = struct.unpack_from(">I", self._data, body + 4)
        boxes = self._boxes(body + 8, end)
        found = [self._data[start:stop].decode("utf-8", "replace") for _, start, stop in boxes]
        return found[:count]

    def _items(self, body: int, end: int, keys: list[str]) -> Iterator[tuple[str, str]]:
        for kind, start, stop in self._boxes(body, end):
            (number,) = struct.unpack(">I", kind)
            key = _COMMENTS.get(kind, kind.decode("latin-1"))
            if 0 < number <= len(keys):
                key = keys[number - 1]
            for part, first, last in self._boxes(start, stop):
                if part == b"name":
                    key = self._data[first + 4 : last].decode("utf-8", "replace")
                elif part == b"data" and last - first >= 8:
                    (data_type,) = struct.unpack_from(">I", self._data, first)
                    if data_type in _TEXT_TYPES and last - first <= JSON_MAX:
                        yield key, self._data[first + 8 : last].decode("utf-8", "replace")
