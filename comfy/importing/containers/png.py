"""Texts of PNG files: ``tEXt``, ``zTXt``, ``iTXt``, ``eXIf``, and ComfyUI's own ``comf``."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from comfy.importing.bounds import JSON_MAX
from comfy.importing.containers import exif

_CHUNKS_MAX: Final = 200_000
_START: Final = 8


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The keyed texts of all chunks. Raises struct.error, zlib.error or ValueError."""
    at = _START
    for _ in range(_CHUNKS_MAX):
        if at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in _READERS and at + 8 + length <= len(data):
            yield from _READERS[kind](data[at + 8 : at + 8 + length])
        at += length + 12


def _plain(body: bytes) -> Iterator[tuple[str, str]]:
    key, _, text = body.partition(b"\0")
    # The standard says Latin-1; several programs write UTF-8 nevertheless.
    yield key.decode("latin-1"), _decoded(text)


def _compressed(body: bytes) -> Iterator[tuple[str, str]]:
    key, _, rest = body.partition(b"\0")
    yield key.decode("latin-1"), _decoded(_inflated(rest[1:]))


def _international(body: bytes) -> Iterator[tuple[str, str]]:
    key, _, rest = body.partition(b"\0")
    is_compressed = rest[:1] == b"\x01"
    _, _, rest = rest[2:].partition(b"\0")  # the language
    _, _, text = rest.partition(b"\0")  # the key in that language
    yield key.decode("latin-1"), _decoded(_inflated(text) if is_compressed else text)


_READERS: Final = {
    b"tEXt": _plain,
    b"zTXt": _compressed,
    b"iTXt": _international,
    b"comf": _plain,
    b"eXIf": exif.texts,
}


def _inflated(body: bytes) -> bytes:
    inflater = zlib.decompressobj()
    text = inflater.decompress(body, JSON_MAX)
    if inflater.unconsumed_tail:
        raise ValueError("the text is too large")
    return text


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
