"""The header ``Retry-After``: when a receiver wants to be asked again."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_S: Final = 86_400.0
"""The longest that a receiver can put its next try off: a day."""
_SECONDS: Final = re.compile(r"\d+", re.ASCII)


def retry_after_s(value: str, now: datetime) -> float | None:
    """Returns the seconds that a header asks for, a day at most; None if it cannot be read.

    It is a number of seconds, or a date of HTTP.
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        digits = value.lstrip("0")
        return LONGEST_S if len(digits) > len("86400") else min(LONGEST_S, float(digits or "0"))
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError):
        return None
    if at.tzinfo is None:  # "-0000": a time of UTC
        at = at.replace(tzinfo=UTC)
    return min(LONGEST_S, max(0.0, (at - now).total_seconds()))
