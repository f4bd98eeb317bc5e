"""Texts of FLAC files: their Vorbis comments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from comfy.importing.containers import vorbis

_BLOCKS_MAX: Final = 1_000
_COMMENT: Final = 4


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The comments of all metadata blocks. Raises IndexError or struct.error."""
    at = 4
    for _ in range(_BLOCKS_MAX):
        kind, length = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        if kind & 0x7F == _COMMENT:
            yield from vorbis.comments(data[at + 4 : at + 4 + length])
        if kind & 0x80:  # the last one
            return
        at += 4 + length
