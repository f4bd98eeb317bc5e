"""Amounts in words, the same on the page and in the terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import humanize


def duration(seconds: float) -> str:
    """Seconds in words: ``40 seconds``, ``12 minutes``, ``3 hours and 30 minutes``."""
    if seconds < 1:
        return "under a second"
    unit = "seconds" if seconds < 90 else "minutes"
    rounded = timedelta(seconds=round(seconds))
    return humanize.precisedelta(rounded, minimum_unit=unit, format="%.0f")


def about(seconds: float) -> str:
    """An estimate in words: ``about 12 minutes``, ``under a second``."""
    words = duration(seconds)
    return words if seconds < 1 else f"about {words}"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, roughly: ``5 minutes ago``, a date after a day. ``now``: the current time."""
    passed = (now or datetime.now(UTC)) - moment
    if passed >= timedelta(days=1):
        return f"{moment.day} {moment:%b %Y}"
    return "just now" if passed < timedelta(minutes=1) else humanize.naturaltime(passed)
