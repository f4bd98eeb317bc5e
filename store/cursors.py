"""Cursors of pages: opaque to clients, a kind and a position to the store."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from store.errors import InvalidCursorError

_DIGITS_MAX: Final = 18
_OF_INTEGERS: Final = "iIt"
"""Kinds whose places are compared with a column of PostgreSQL's INTEGER, which refuses more."""
_INTEGER_MAX: Final = 2**31 - 1


def write_cursor(kind: str, place: int) -> str:
    """Returns the cursor of what follows ``place``; ``kind`` is one letter per kind of page."""
    return base64.urlsafe_b64encode(f"{kind}{place}".encode()).decode().rstrip("=")


def read_cursor(kind: str, cursor: str) -> int:
    """Returns the position. Raises InvalidCursorError."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidCursorError("unknown cursor") from error
    place = text[1:]
    if text[:1] != kind.encode() or not place.isdigit() or len(place) > _DIGITS_MAX:
        raise InvalidCursorError("unknown cursor")
    if kind in _OF_INTEGERS and int(place) > _INTEGER_MAX:
        raise InvalidCursorError("unknown cursor")
    return int(place)
