"""Request headers that several routes read."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Header

from api.errors import ProblemError
from api.openapi import Omittable

KEY_MAX: Final = 255
# Blanks around a header's value are none of it (RFC 9110, 5.5).
KEY_PATTERN: Final = f"^[!-~]([ -~]{{0,{KEY_MAX - 2}}}[!-~])?$"
_KEY: Final = re.compile(KEY_PATTERN)
IfNoneMatch = Annotated[
    Omittable[str],
    Header(description="The `ETag` of what the client has: 304 if it is unchanged."),
]
IfMatch = Annotated[
    Omittable[str],
    Header(description="The `ETag` of what is to be changed: 412 if it has been changed since."),
]
IdempotencyHeader = Annotated[
    Omittable[str],
    Header(
        alias="Idempotency-Key",
        description="A repeat with the same key and body creates nothing new: it gets the first "
        "answer, of a batch its present state.",
        json_schema_extra={"minLength": 1, "maxLength": KEY_MAX, "pattern": KEY_PATTERN},
    ),
]


def is_unchanged(etag: str, if_none_match: str | None) -> bool:
    """Returns whether the client has it. Compared weakly (RFC 9110, 13.1.2): proxies add ``W/``."""
    named = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in named or named == ["*"]


def idempotency_key_of(key: str | None) -> str | None:
    """Returns the value of ``Idempotency-Key``. Raises ProblemError when it is not a valid key."""
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise ProblemError(
            "bad_request", f"Idempotency-Key must be 1 to {KEY_MAX} printable ASCII characters"
        )
    return key
