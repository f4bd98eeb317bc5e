"""Texts of MP3 files: the text frames of their ID3v2 tag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_FRAMES_MAX: Final = 10_000
_ENCODINGS: Final = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}
_VERSION_4: Final = 4


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The user-defined texts and comments. Raises IndexError."""
    version = data[3]
    end = 10 + _synchsafe(data[6:10])
    at = 10
    for _ in range(_FRAMES_MAX):
        if at + 10 > min(end, len(data)):
            return
        kind = data[at : at + 4]
        size_bytes = data[at + 4 : at + 8]
        is_safe = version >= _VERSION_4
        size = _synchsafe(size_bytes) if is_safe else int.from_bytes(size_bytes, "big")
        body = data[at + 10 : at + 10 + size]
        if kind == b"TXXX":
            yield from _described(body[:1], body[1:])
        elif kind == b"COMM":
            yield from _described(body[:1], body[4:])
        at += 10 + size


def _described(encoding: bytes, body: bytes) -> Iterator[tuple[str, str]]:
    name = _ENCODINGS.get(encoding[0] if encoding else 0, "latin-1")
    wide = name.startswith("utf-16")
    stop = _zero(body, wide)
    text = body[stop + (2 if wide else 1) :]
    yield body[:stop].decode(name, "replace"), text.decode(name, "replace").rstrip("\0")


def _zero(body: bytes, wide: bool) -> int:
    """Where the first text ends."""
    if not wide:
        return max(body.find(b"\0"), 0)
    at = body.find(b"\0\0")
    while at % 2 == 1:
        at = body.find(b"\0\0", at + 1)
    return max(at, 0)


def _synchsafe(size: bytes) -> int:
    value = 0
    for part in size:
        value = value << 7 | part & 0x7F
    return value
