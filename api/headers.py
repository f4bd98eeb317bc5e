"""Request headers that several routes read."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Header

from api.errors import ProblemError

KEY_MAX: Final = 255
IfNoneMatch = Annotated[
    str | None, Header(description="The `ETag` of what the client has: 304 if it is unchanged.")
]


def is_unchanged(etag: str, if_none_match: str | None) -> bool:
    """Returns whether the client has it. Compared weakly (RFC 9110, 13.1.2): proxies add ``W/``."""
    named = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in named or named == ["*"]


def idempotency_key_of(key: str | None) -> str | None:
    """Returns the value of ``Idempotency-Key``. Raises ProblemError when it is not a valid key."""
    if key is None:
        return None
    if not key or len(key) > KEY_MAX or not key.isprintable() or not key.isascii():
        raise ProblemError(
            "bad_request", f"Idempotency-Key must be 1 to {KEY_MAX} printable ASCII characters"
        )
    return key
