"""Cursors of pages: opaque to clients, a kind and a position to the store."""

from __future__ import annotations

import base64
import binascii

from store.errors import InvalidCursorError


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
    if text[:1] != kind.encode() or not place.isdigit() or len(place) > 18:
        raise InvalidCursorError("unknown cursor")
    return int(place)
