"""Texts of JPEG files: EXIF and comments."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from comfy.importing.containers import exif

_SEGMENTS_MAX: Final = 10_000
_APP1: Final = 0xE1
_COMMENT: Final = 0xFE
_SCAN: Final = 0xDA


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The texts of the segments before the picture itself. Raises struct.error."""
    at = 2
    for _ in range(_SEGMENTS_MAX):
        if at + 4 > len(data):
            return
        mark, kind, length = struct.unpack_from(">BBH", data, at)
        if mark != 0xFF or kind == _SCAN:
            return
        body = data[at + 4 : at + 2 + length]
        if kind == _APP1 and body.startswith(b"Exif\0\0"):
            yield from exif.texts(body)
        elif kind == _COMMENT:
            yield "", body.decode("utf-8", "replace")
        at += 2 + max(length, 2)
