"""What a batch does next, as a table; when its window ends, on any clock."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.batches.request import FAILURE_SHARE_AFTER, BatchOptions
from core.status import BatchStatus
from core.stored import Unreadable
from flows.batches.rules import (
    Finish,
    Leave,
    Pause,
    Release,
    Wait,
    next_step,
    too_many_failures,
    window_end,
)
from store.values import BatchCounts
from tests.flows.batch_cases import NOW, a_batch, counts

STATUSES: tuple[BatchStatus, ...] = get_args(BatchStatus)
SECOND = timedelta(seconds=1)
OPTIONS = BatchOptions(max_in_flight=4)
BERLIN = "Europe/Berlin"


# --- releasing


@pytest.mark.parametrize(
    ("stand", "step"),
    [
        (counts(waiting=100), Release(4)),
        (counts(waiting=99, queued=1), Release(3)),
        (counts(waiting=98, running=1, cancelling=1), Release(2)),
        (counts(waiting=50, queued=2, running=2), Wait()),
        (counts(waiting=50, queued=9), Wait()),
        (counts(waiting=50, queued=1, succeeded=45, failed=3, cancelled=1), Release(3)),
        (counts(queued=1, succeeded=99), Wait()),
        (counts(cancelling=1, succeeded=99), Wait()),
    ],
)
def test_a_bounded_number_is_under_way(stand: BatchCounts, step: Release | Wait) -> None:
    assert next_step(a_batch(OPTIONS), stand, NOW) == step


def test_options_of_another_version_end_the_batch_with_what_is_under_way() -> None:
    batch = a_batch(Unreadable(stored={"order": "shuffled"}, reason="order: unknown"))

    assert next_step(batch, counts(waiting=98, queued=2), NOW) == Wait()
    end = next_step(batch, counts(waiting=98, succeeded=2), NOW)

    assert isinstance(end, Finish)
    assert end.problem is not None
    assert (end.to, end.problem.code) == ("failed", "unreadable_document")
    assert "order: unknown" in end.problem.detail
    assert window_end(batch.options, NOW) is None


def test_a_paused_batch_waits() -> None:
    batch = a_batch(OPTIONS, status="paused")

    assert next_step(batch, counts(waiting=100), NOW) == Wait()
    assert next_step(batch, counts(waiting=100, running=1), NOW) == Wait()


def test_a_paused_batch_with_nothing_left_comes_to_its_end() -> None:
    batch = a_batch(OPTIONS, status="paused")

    assert next_step(batch, counts(running=1, succeeded=99), NOW) == Wait()
    assert next_step(batch, counts(succeeded=100), NOW) == Finish("succeeded")


@pytest.mark.parametrize(
    "status", [status for status in STATUSES if status not in ("running", "paused")]
)
def test_a_batch_that_others_end_is_left(status: BatchStatus) -> None:
    for stand in (counts(waiting=9), counts(succeeded=9), counts(running=1), counts(failed=99)):
        assert next_step(a_batch(status=status), stand, NOW) == Leave()


# --- the end


def test_all_made_is_a_success() -> None:
    assert next_step(a_batch(), counts(succeeded=100), NOW) == Finish("succeeded")
    assert next_step(a_batch(), counts(succeeded=97, deleted=3), NOW) == Finish("succeeded")


@pytest.mark.parametrize(
    ("stand", "said"),
    [
        (counts(succeeded=97, failed=3), "Of 100 generations, 3 failed."),
        (counts(succeeded=98, cancelled=2), "Of 100 generations, 2 were cancelled."),
        (
            counts(succeeded=1, failed=2, cancelled=3, deleted=4),
            "Of 10 generations, 2 failed and 3 were cancelled.",
        ),
    ],
)
def test_what_is_missing_is_said(stand: BatchCounts, said: str) -> None:
    step = next_step(a_batch(), stand, NOW)

    assert isinstance(step, Finish)
    assert step.to == "failed"
    assert step.problem is not None
    assert step.problem.code == "batch_incomplete"
    assert step.problem.detail.startswith(said)


# --- failures


@pytest.mark.parametrize(
    ("stand", "stops"),
    [
        (counts(waiting=9, failed=2), False),
        (counts(waiting=9, failed=3), True),
        (counts(waiting=9, failed=4, succeeded=90), True),
        (counts(waiting=9, cancelled=9, deleted=9, failed=2), False),
    ],
)
def test_so_many_failures_stop_it(stand: BatchCounts, stops: bool) -> None:
    batch = a_batch(BatchOptions(stop_after_failures=3))

    step = next_step(batch, stand, NOW)

    assert isinstance(step, Finish) is stops
    if isinstance(step, Finish):
        assert step.to == "failed"
        assert step.problem is not None
        assert step.problem.code == "too_many_failures"
        assert f"{stand.failed} generations failed" in step.problem.detail


@pytest.mark.parametrize(
    ("stand", "stops"),
    [
        (counts(failed=10, succeeded=10), True),
        (counts(failed=9, succeeded=11), False),
        # It is judged only once enough have ended.
        (counts(failed=FAILURE_SHARE_AFTER - 1), False),
        (counts(failed=FAILURE_SHARE_AFTER), True),
        (counts(failed=10, deleted=5, cancelled=5), True),
        (counts(failed=10, queued=64, running=64), False),
    ],
)
def test_a_share_of_failures_stops_it(stand: BatchCounts, stops: bool) -> None:
    options = BatchOptions(stop_at_failure_share=0.5)

    found = too_many_failures(options, stand)

    assert (found is not None) is stops
    if found is not None:
        assert found.code == "too_many_failures"
        assert f"{stand.failed} of {stand.ended}" in found.detail
        assert "it stops at 50%" in found.detail


def test_without_a_cap_it_goes_on_to_the_end() -> None:
    assert too_many_failures(BatchOptions(), counts(failed=10_000)) is None
    assert next_step(a_batch(), counts(waiting=1, failed=10_000), NOW) == Release(8)


def test_a_batch_that_stops_itself_waits_for_what_is_under_way() -> None:
    batch = a_batch(BatchOptions(stop_after_failures=1))

    assert next_step(batch, counts(waiting=9, failed=1, running=1), NOW) == Wait()
    assert isinstance(next_step(batch, counts(waiting=9, failed=1), NOW), Finish)


def test_a_paused_batch_stops_itself_too() -> None:
    batch = a_batch(BatchOptions(stop_after_failures=1), status="paused")

    assert isinstance(next_step(batch, counts(waiting=9, failed=1), NOW), Finish)


# --- the window


@pytest.mark.parametrize(
    ("to_its_end", "pauses"), [(SECOND, False), (timedelta(0), True), (-SECOND, True)]
)
def test_nothing_is_begun_after_the_end_of_its_window(to_its_end: timedelta, pauses: bool) -> None:
    options = BatchOptions(not_after="07:00", timezone=BERLIN)
    batch = a_batch(options, window_ends_at=NOW + to_its_end)

    step = next_step(batch, counts(waiting=9, running=2), NOW)

    assert isinstance(step, Pause) is pauses
    if isinstance(step, Pause):
        assert step.waiting.code == "outside_window"
        assert "07:00 (Europe/Berlin)" in step.waiting.detail


def test_what_is_under_way_at_the_end_of_the_window_is_all_there_was() -> None:
    batch = a_batch(BatchOptions(not_after="07:00"), window_ends_at=NOW - SECOND)

    assert next_step(batch, counts(running=1, succeeded=99), NOW) == Wait()
    assert next_step(batch, counts(succeeded=100), NOW) == Finish("succeeded")


def test_without_a_window_it_never_ends() -> None:
    assert window_end(BatchOptions(timezone=BERLIN), NOW) is None


def _end(not_after: str, zone: str, now: str) -> str:
    options = BatchOptions(not_after=not_after, timezone=zone)
    found = window_end(options, datetime.fromisoformat(now))
    assert found is not None
    assert found.tzinfo is UTC
    return found.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z")


@pytest.mark.parametrize(
    ("not_after", "now", "end"),
    [
        ("07:00", "2026-03-01T05:59:59Z", "01 07:00 +0100"),
        ("07:00", "2026-03-01T06:00:00Z", "02 07:00 +0100"),
        ("07:00", "2026-03-01T06:00:01Z", "02 07:00 +0100"),
        ("07:00", "2026-03-01T12:00:00Z", "02 07:00 +0100"),
        ("00:00", "2026-03-01T22:59:59Z", "02 00:00 +0100"),
        ("00:00", "2026-03-01T23:00:00Z", "03 00:00 +0100"),
        ("23:59", "2026-03-01T23:30:00Z", "02 23:59 +0100"),
        # The clocks are set forward at 02:00 on the 29th …
        ("07:00", "2026-03-28T20:00:00Z", "29 07:00 +0200"),
        ("01:30", "2026-03-29T00:00:00Z", "29 01:30 +0100"),
        ("03:00", "2026-03-29T00:59:59Z", "29 03:00 +0200"),
        ("03:00", "2026-03-29T01:00:00Z", "30 03:00 +0200"),
        # (at 02:00, what comes next is 03:00: 02:30 is past from then on)
        ("02:30", "2026-03-28T21:00:00Z", "29 03:00 +0200"),
        ("02:00", "2026-03-28T21:00:00Z", "29 03:00 +0200"),
        ("02:59", "2026-03-29T00:59:59Z", "29 03:00 +0200"),
        ("02:30", "2026-03-29T01:00:00Z", "30 02:30 +0200"),
        # … and back at 03:00 on the 25th.
        ("07:00", "2026-10-24T20:00:00Z", "25 07:00 +0100"),
        ("02:30", "2026-10-25T00:29:59Z", "25 02:30 +0200"),
        ("02:30", "2026-10-25T01:10:00Z", "25 02:30 +0100"),
        ("02:30", "2026-10-25T01:30:00Z", "26 02:30 +0100"),
    ],
)
def test_the_window_ends_by_the_clocks_of_its_zone(not_after: str, now: str, end: str) -> None:
    assert _end(not_after, BERLIN, now) == end


def test_the_window_is_that_of_the_zone_and_not_of_the_server() -> None:
    assert _end("06:30", "Pacific/Auckland", "2026-03-01T12:00:00Z") == "02 06:30 +1300"
    assert _end("06:30", "Asia/Kathmandu", "2026-03-01T12:00:00Z") == "02 06:30 +0545"


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server's own clocks are those of Berlin."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", BERLIN)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-02T06:00:00Z"),
        ("2026-07-01T12:00:00Z", "2026-07-02T05:00:00Z"),
        ("2026-03-28T20:00:00Z", "2026-03-29T05:00:00Z"),
        ("2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z"),
    ],
)
@pytest.mark.usefixtures("in_berlin")
def test_without_a_zone_the_servers_clocks_count(now: str, end: str) -> None:
    found = window_end(BatchOptions(not_after="07:00"), datetime.fromisoformat(now))

    assert found == datetime.fromisoformat(end)


@pytest.mark.usefixtures("in_berlin")
def test_the_servers_clocks_too_may_skip_the_end_of_the_window() -> None:
    evening = datetime(2027, 3, 27, 22, tzinfo=UTC)
    options = BatchOptions(not_after="02:30")

    assert window_end(options, evening) == datetime(2027, 3, 28, 1, tzinfo=UTC)


_NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
_YEAR = st.integers(0, 365 * 86_400).map(lambda passed: _NEW_YEAR + passed * SECOND)
_ZONES = st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"])
_CLOCK = st.times().map(lambda at: at.strftime("%H:%M"))


@settings(deadline=None)
@given(_CLOCK, _ZONES, _YEAR)
@example("02:30", BERLIN, datetime(2026, 10, 25, 1, 10, tzinfo=UTC))
@example("02:30", BERLIN, datetime(2026, 3, 29, 0, 59, tzinfo=UTC))
def test_a_window_ends_later_and_within_a_day(not_after: str, zone: str, now: datetime) -> None:
    """A day of 25 hours, and an hour that is not there, are the longest that one may wait."""
    end = window_end(BatchOptions(not_after=not_after, timezone=zone), now)

    assert end is not None
    assert now < end <= now + timedelta(hours=26)
    local = end.astimezone(ZoneInfo(zone))
    before = (end - SECOND).astimezone(ZoneInfo(zone))
    assert f"{before:%H:%M}" < not_after <= f"{local:%H:%M}" or f"{local:%H:%M}" == not_after


# --- whatever the rows say


def every_case() -> Iterator[tuple[BatchStatus, BatchCounts, bool]]:
    for status, waiting, under_way, succeeded, failed, late in itertools.product(
        STATUSES, (0, 1, 50), (0, 1, 4, 9), (0, 30), (0, 1, 40), (False, True)
    ):
        yield (
            status,
            counts(waiting=waiting, running=under_way, succeeded=succeeded, failed=failed),
            late,
        )


def test_never_more_is_under_way_than_asked_for_and_nothing_ends_before_it_has() -> None:
    options = BatchOptions(max_in_flight=4, stop_after_failures=40, not_after="07:00")
    steps = set()
    for status, stand, late in every_case():
        batch = a_batch(options, status=status, window_ends_at=NOW - SECOND if late else None)
        step = next_step(batch, stand, NOW)
        steps.add(type(step))
        if isinstance(step, Release):
            assert status == "running"
            assert not late
            assert 0 < step.most == options.max_in_flight - stand.active
        if isinstance(step, Finish):
            assert stand.active == 0
            assert step.to == ("failed" if stand.failed else "succeeded")
            assert stand.waiting == 0 or stand.failed >= 40
    assert steps == {Release, Pause, Finish, Wait, Leave}
