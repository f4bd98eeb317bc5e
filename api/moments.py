"""Moments in queries: dates and times with their zones, as RFC 3339 writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

_LOST_PLUS: Final = re.compile(r"[T ][0-9:.]+ [0-9]{2}:?[0-9]{0,2}$")
# RFC 3339, with what ISO 8601 allows besides: no seconds, a comma, a zone without its colon.
PATTERN: Final = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.,][0-9]{1,9})?)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])$"
)
_MOMENT: Final = re.compile(PATTERN)


def _written(text: Any) -> Any:
    """Refuses everything else that pydantic reads as a moment, such as a number of seconds."""
    if not isinstance(text, str):
        return text
    if _LOST_PLUS.search(text):  # 2026-01-31T12:00:00 02:00: in a query a + means a blank
        raise PydanticCustomError("lost_plus", "a + in a URL must be written %2B")
    if not _MOMENT.fullmatch(text):
        raise PydanticKnownError("timezone_aware")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise PydanticCustomError("range", "must be within the years 1 to 9999 in UTC") from error


Moment = Annotated[
    datetime,
    BeforeValidator(_written),
    AfterValidator(_in_utc),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": PATTERN,
            "examples": ["2026-01-31T12:00:00Z"],
        }
    ),
]
"""A moment, in UTC."""
