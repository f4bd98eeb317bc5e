"""How long ago a moment is, whichever clock stood still."""

from __future__ import annotations

import pytest

from core.instant import LONG_AGO, Instant


@pytest.mark.parametrize(
    ("now", "age_s"),
    [
        (Instant(12.0, 1002.0), 2.0),
        (Instant(10.1, 1030.0), 30.0),  # the machine slept
        (Instant(17.0, 900.0), 7.0),  # the wall clock was set back
    ],
)
def test_the_clock_that_counted_more_is_believed(now: Instant, age_s: float) -> None:
    assert Instant(10.0, 1000.0).age_s(now) == pytest.approx(age_s)


def test_long_ago_is_older_than_anything() -> None:
    assert LONG_AGO.age_s() == float("inf")
