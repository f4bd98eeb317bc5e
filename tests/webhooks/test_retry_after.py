"""``Retry-After``: seconds or a date, a day at most."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks.retry_after import LONGEST_S, retry_after_s

NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("0000000120", 120),
        ("86400", LONGEST_S),
        ("86401", LONGEST_S),
        ("9" * 10_000, LONGEST_S),
        ("Sun, 29 Nov 2026 12:01:40 GMT", 100),
        ("Sunday, 29-Nov-26 12:01:40 GMT", 100),
        ("Sun Nov 29 12:01:40 2026", 100),
        ("Sun, 29 Nov 2026 12:01:40 -0000", 100),
        ("Sun, 29 Nov 2026 11:00:00 GMT", 0),
        ("Tue, 01 Dec 2026 12:00:00 GMT", LONGEST_S),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("tomorrow", None),
        ("Sun, 99 Nov 2026 12:01:40 GMT", None),
        ("١٢٠", None),
    ],
)
def test_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


@given(st.integers(-(10**6), 10**6))
def test_every_date_is_read(seconds: int) -> None:
    at = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)

    assert retry_after_s(at, NOW) == min(LONGEST_S, max(0, seconds))


@given(st.text(max_size=40))
def test_nothing_that_a_receiver_says_breaks_it(value: str) -> None:
    found = retry_after_s(value, NOW)

    assert found is None or 0 <= found <= LONGEST_S
