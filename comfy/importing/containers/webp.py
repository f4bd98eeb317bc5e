"""Texts of WebP files: their EXIF chunk."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from comfy.importing.containers import exif

_CHUNKS_MAX: Final = 100_000


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The texts of the EXIF chunks. Raises struct.error."""
    at = 12
    for _ in range(_CHUNKS_MAX):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            yield from exif.texts(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
