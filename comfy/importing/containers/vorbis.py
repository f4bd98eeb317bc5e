"""Vorbis comments, as FLAC, Ogg Vorbis and Opus files carry them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

_COMMENTS_MAX: Final = 10_000


def comments(body: bytes) -> Iterator[tuple[str, str]]:
    """The comments of one block, keyed by what stands before the "=". Raises struct.error."""
    (vendor,) = struct.unpack_from("<I", body, 0)
    at = 4 + vendor
    (count,) = struct.unpack_from("<I", body, at)
    at += 4
    for _ in range(min(count, _COMMENTS_MAX)):
        (length,) = struct.unpack_from("<I", body, at)
        key, _, text = body[at + 4 : at + 4 + length].decode("utf-8", "replace").partition("=")
        yield key, text
        at += 4 + length
