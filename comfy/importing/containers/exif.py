"""Texts of EXIF data (TIFF): ComfyUI writes ``prompt:{…}`` into tags made for cameras' names."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

_ENTRIES_MAX: Final = 2_000
_DIRECTORIES_MAX: Final = 16
_LOOKED_AT_MAX: Final = 100 * 1024 * 1024
"""Bytes of all entries that are read as texts: places may overlap."""
_ASCII: Final = 2
_BYTES: Final = (1, 7)
_POINTERS: Final = (0x8769, 0x8825)
"""Tags that point to another directory."""
_USER_COMMENT: Final = 0x9286
_CHARSETS: Final = {b"UNICODE\0": "utf-16", b"ASCII\0\0\0": "utf-8", b"JIS\0\0\0\0\0": "utf-8"}


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The texts of all tags, keyed by what stands before their colon. Raises struct.error."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return
    budget = _LOOKED_AT_MAX
    looked: set[tuple[int, int]] = set()
    pending: list[int] = list(struct.unpack_from(f"{order}I", data, 4))
    seen: set[int] = set()
    while pending and len(seen) < _DIRECTORIES_MAX:
        at = pending.pop(0)
        if at in seen or at <= 0 or at + 2 > len(data):
            continue
        seen.add(at)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        for index in range(min(count, _ENTRIES_MAX)):
            tag, kind, size, value = struct.unpack_from(f"{order}HHII", data, at + 2 + index * 12)
            if tag in _POINTERS:
                pending.append(value)
            elif kind == _ASCII or kind in _BYTES:
                where = value if size > 4 else at + 2 + index * 12 + 8
                # Entries may all point at the same place: what was read is not read again.
                if (where, size) in looked or size > budget:
                    continue
                looked.add((where, size))
                budget -= size
                yield from _text(tag, data[where : where + size], order)


def _text(tag: int, body: bytes, order: str) -> Iterator[tuple[str, str]]:
    charset = "utf-8"
    if tag == _USER_COMMENT and body[:8] in _CHARSETS:
        charset = _CHARSETS[body[:8]]
        body = body[8:]
    if charset == "utf-16":
        charset = _utf16_order(body, order)
    text = body.decode(charset, "replace").rstrip("\0").strip()
    key, colon, rest = text.partition(":")
    if colon and key.isidentifier() and rest.lstrip()[:1] in ("{", "["):
        yield key, rest.lstrip()
    elif text:
        yield "", text


def _utf16_order(body: bytes, order: str) -> str:
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    # Programs do not agree on the order; JSON begins with a character of one byte.
    if body[:1] == b"\0":
        return "utf-16-be"
    return "utf-16-le" if body[1:2] == b"\0" or order == "<" else "utf-16-be"
