from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from web.parts.clock import cron_words, every_words, moments_words

NOON = datetime(2026, 6, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 2 * * *", "Every day at 02:00"),
        ("0 * * * *", "Every hour"),
        ("*/10 * * * *", "Every 10 minutes"),
        ("0 18 * * 1-5", "At 18:00, Monday through Friday"),
        ("0 18 * * 0", "At 18:00, only on Sunday"),
        ("0 18 * * 7", "At 18:00, only on Sunday"),
        ("0 6 1 1 *", "At 06:00, on day 1 of the month, only in January"),
        ("@daily", "By cron @daily"),
        ("not cron", "By cron not cron"),
    ],
)
def test_cron_in_words(cron: str, said: str) -> None:
    assert cron_words(cron) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1800, "Every 30 minutes"),
        (3600, "Every hour"),
        (7200, "Every 2 hours"),
        (86_400, "Every day"),
        (5400, "Every 90 minutes"),
        (90, "Every 90 seconds"),
        (0.5, "Every 0.5 seconds"),
    ],
)
def test_intervals_in_words(seconds: float, said: str) -> None:
    assert every_words(seconds) == said


def test_times_are_those_of_the_visitor() -> None:
    moments = [NOON + timedelta(hours=hours) for hours in (1, 2, 20, 60)]
    assert moments_words(moments, "Asia/Tokyo", NOON) == (
        "today 22:00, 23:00, tomorrow 17:00, Sat 6 Jun 09:00"
    )
    assert moments_words(moments[:1], None, NOON) == "today 13:00 UTC"
