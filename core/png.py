"""Texts in PNG files, put in without touching the pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TEXTS: Final = (b"tEXt", b"iTXt", b"zTXt")
_HEAD: Final = struct.Struct(">I4s")
_CRC: Final = struct.Struct(">I")
_CHUNKS_MAX: Final = 1_000
_KEYWORD_MAX: Final = 79


def keywords(data: bytes) -> frozenset[str]:
    """Returns the keywords of the texts that come before the pixels; none for other files."""
    return frozenset(
        data[start : start + size].partition(b"\0")[0].decode("latin-1")
        for kind, start, size in _chunks(data)
        if kind in _TEXTS
    )


def with_texts(data: bytes, texts: Mapping[str, str]) -> bytes:
    """Returns the file with these texts, by keyword, before its pixels.

    A keyword that it has already keeps its text. What is no PNG comes back as it is.
    """
    at = next((start - _HEAD.size for kind, start, _ in _chunks(data) if kind == b"IDAT"), None)
    if at is None:
        return data
    known = keywords(data)
    new = b"".join(_chunk(name, text) for name, text in texts.items() if name not in known)
    return data[:at] + new + data[at:] if new else data


def _chunk(keyword: str, text: str) -> bytes:
    """Returns a chunk as most programs write it: ``tEXt``, ``iTXt`` where that cannot hold it."""
    name = keyword.encode("latin-1")[:_KEYWORD_MAX]
    try:
        kind, body = b"tEXt", name + b"\0" + text.replace("\0", "").encode("latin-1")
    except UnicodeEncodeError:
        kind = b"iTXt"
        body = name + b"\0\0\0\0\0" + text.replace("\0", "").encode("utf-8", "replace")
    return _HEAD.pack(len(body), kind) + body + _CRC.pack(zlib.crc32(kind + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, place and size of each chunk up to the first with pixels."""
    if not data.startswith(SIGNATURE):
        return
    at = len(SIGNATURE)
    for _ in range(_CHUNKS_MAX):
        if at + _HEAD.size > len(data):
            return
        size, kind = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if at + size > len(data):
            return
        yield kind, at, size
        if kind == b"IDAT":
            return
        at += size + _CRC.size
