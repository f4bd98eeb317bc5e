"""When schedules fire next: by the clocks of their zone, and as Prefect itself reckons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.server.schemas import schedules as prefects

from flows.prefect.schedules import SCHEDULED_AHEAD, Timing, _record, check_cron

BERLIN = "Europe/Berlin"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BEFORE_SUMMER = datetime(2026, 3, 27, 12, 0, tzinfo=UTC)
"""The clocks of Berlin are set forward on the 29th, at 02:00 …"""
BEFORE_WINTER = datetime(2026, 10, 23, 12, 0, tzinfo=UTC)
"""… and back on the 25th, at 03:00."""


def cron(expression: str, now: datetime, zone: str = BERLIN, count: int = 4) -> list[str]:
    """The next times as a clock in that zone shows them."""
    timing = Timing(expression, None, zone)
    return [
        moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z")
        for moment in islice(timing.next_times(now), count)
    ]


def every(
    interval: timedelta, now: datetime, anchor: datetime | None = None, count: int = 3
) -> list[datetime]:
    timing = Timing(None, interval.total_seconds(), "UTC")
    return list(islice(timing.next_times(now, anchor), count))


# --- cron


@pytest.mark.parametrize(
    ("expression", "now", "times"),
    [
        ("0 7 * * *", NOON, ["02 07:00 +0100", "03 07:00 +0100"]),
        ("0 13 * * *", NOON, ["02 13:00 +0100", "03 13:00 +0100"]),
        ("0 13 * * *", NOON - timedelta(seconds=1), ["01 13:00 +0100", "02 13:00 +0100"]),
        ("30 6 * * MON-FRI", NOON, ["02 06:30 +0100", "03 06:30 +0100"]),
        ("*/20 * * * *", NOON, ["01 13:20 +0100", "01 13:40 +0100"]),
        # Across a change of the clocks a daily time stays that time.
        ("0 7 * * *", BEFORE_SUMMER, ["28 07:00 +0100", "29 07:00 +0200", "30 07:00 +0200"]),
        ("0 7 * * *", BEFORE_WINTER, ["24 07:00 +0200", "25 07:00 +0100", "26 07:00 +0100"]),
    ],
)
def test_cron_follows_the_clocks_of_its_zone(
    expression: str, now: datetime, times: list[str]
) -> None:
    assert cron(expression, now, count=len(times)) == times


@pytest.mark.parametrize(
    ("now", "longest"),
    # Of an hour that clocks show twice Prefect takes one, as its documentation says.
    [(BEFORE_SUMMER, timedelta(minutes=1)), (BEFORE_WINTER, timedelta(minutes=61))],
)
def test_each_minute_has_one_time_also_when_the_clocks_change(
    now: datetime, longest: timedelta
) -> None:
    times = list(islice(Timing("* * * * *", None, BERLIN).next_times(now), 3 * 24 * 60))

    gaps = [after - before for before, after in pairwise(times)]
    assert set(gaps) == {timedelta(minutes=1), longest}
    assert gaps.count(timedelta(minutes=61)) <= 1


def test_a_night_without_that_hour_has_its_run_all_the_same() -> None:
    times = list(islice(Timing("30 2 * * *", None, BERLIN).next_times(BEFORE_SUMMER), 4))

    days = [moment.astimezone(ZoneInfo(BERLIN)).day for moment in times]
    assert days == [28, 29, 30, 31]


def test_a_night_with_that_hour_twice_has_one_run() -> None:
    times = list(islice(Timing("30 2 * * *", None, BERLIN).next_times(BEFORE_WINTER), 4))

    days = [moment.astimezone(ZoneInfo(BERLIN)).day for moment in times]
    assert days == [24, 25, 26, 27]


# --- intervals


def test_an_interval_counts_from_its_anchor() -> None:
    anchor = NOON - timedelta(days=400, minutes=7)

    assert every(timedelta(hours=1), NOON, anchor) == [
        NOON + timedelta(minutes=53),
        NOON + timedelta(minutes=113),
        NOON + timedelta(minutes=173),
    ]


def test_a_time_that_is_now_has_passed() -> None:
    hour = timedelta(hours=1)

    assert every(hour, NOON, NOON - 3 * hour, count=1) == [NOON + hour]
    assert every(hour, NOON - timedelta(microseconds=1), NOON - 3 * hour, count=1) == [NOON]


def test_without_an_anchor_it_counts_from_now() -> None:
    assert every(timedelta(seconds=10), NOON, count=2) == [
        NOON + timedelta(seconds=10),
        NOON + timedelta(seconds=20),
    ]


@settings(deadline=None)
@given(
    seconds=st.integers(10, 366 * 86_400) | st.floats(10, 366 * 86_400),
    since=st.timedeltas(timedelta(0), timedelta(days=3000)),
)
def test_an_interval_never_tells_what_has_passed(seconds: float, since: timedelta) -> None:
    step = timedelta(seconds=seconds)
    times = every(step, NOON, NOON - since)

    assert NOON < times[0] <= NOON + step
    assert {after - before for before, after in pairwise(times)} == {step}


# --- as Prefect fires them


def _told(schedule: CronSchedule | IntervalSchedule, now: datetime, **deployment: Any) -> Any:
    """The record of a schedule that Prefect has."""
    of = DeploymentResponse(name="nightly", flow_id=UUID(int=1), **deployment)
    return _record(of, DeploymentSchedule(schedule=schedule, active=True), now)


@pytest.mark.parametrize("now", [NOON, BEFORE_SUMMER, BEFORE_WINTER])
@pytest.mark.parametrize(
    "expression",
    [
        "0 7 * * *",
        "0 */6 * * *",
        "*/5 8-17 * * 1-5",
        "0 9 1,15 * *",
        "0 0 13 * 5",
        "0 0 1-7 * MON",
        "0 0 */2 * MON",
        "5 4 * JAN,JUL 0,7",
        "0 0 L * *",
        "0 12 * * 5#2",
    ],
)
async def test_the_times_of_cron_are_those_at_which_prefect_fires(
    expression: str, now: datetime
) -> None:
    check_cron(expression)
    told = _told(CronSchedule(cron=expression, timezone=BERLIN), now)

    theirs = prefects.CronSchedule(cron=expression, timezone=BERLIN)
    fires = await theirs.get_dates(SCHEDULED_AHEAD, start=now + timedelta(seconds=1))
    assert list(told.next_times) == [moment.astimezone(UTC) for moment in fires]


@pytest.mark.parametrize("now", [NOON, BEFORE_SUMMER, BEFORE_WINTER])
@pytest.mark.parametrize("days", [timedelta(minutes=10), timedelta(days=1), timedelta(days=7)])
async def test_the_times_of_an_interval_are_those_at_which_prefect_fires(
    days: timedelta, now: datetime
) -> None:
    """Prefect counts whole days by the clocks of the zone."""
    anchor = datetime(2026, 1, 5, 6, 0, 3, tzinfo=UTC)
    said: dict[str, Any] = {"interval": days, "timezone": BERLIN, "anchor_date": anchor}
    told = _told(IntervalSchedule(**said), now)

    fires = await prefects.IntervalSchedule(**said).get_dates(SCHEDULED_AHEAD, start=now)
    assert list(told.next_times) == [moment.astimezone(UTC) for moment in fires]


def test_the_next_times_come_from_prefects_own_record() -> None:
    anchor = NOON - timedelta(minutes=7)
    told = _told(IntervalSchedule(interval=timedelta(hours=1), anchor_date=anchor), NOON)

    assert told.timing == Timing(None, 3600.0, "UTC")
    assert told.next_times[0] == NOON + timedelta(minutes=53)
    assert len(told.next_times) == SCHEDULED_AHEAD


def test_what_only_prefect_understands_has_its_times_too() -> None:
    told = _told(CronSchedule(cron="0 22-4 * * *"), NOON)

    assert told.next_times[0] == datetime(2026, 3, 1, 22, 0, tzinfo=UTC)


def test_a_deployment_that_is_paused_has_no_next_times() -> None:
    told = _told(CronSchedule(cron="0 7 * * *"), NOON, paused=True)

    assert (told.active, told.next_times) == (False, ())


# --- what may be asked for


@pytest.mark.parametrize(
    "expression",
    ["0 2 * * *", "*/15 8-17 * * MON-FRI", "0 0 1,15 * *", "0 0 29 2 *", "5 4 * * 0", "0 0 L * *"],
)
def test_five_fields_are_taken(expression: str) -> None:
    check_cron(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "zx81canary",
        "* * * *",
        # With six, Prefect reads the last one as seconds: this would fire each second for a day.
        "0 0 2 * * *",
        "* * * * * *",
        "0 2 * * * * 2030",
        "@daily",
        "@reboot",
        "H 2 * * *",
        "R 2 * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "-1 * * * *",
        "1.5 * * * *",
        "٠ ٢ * * *",
        "0 0 31 2 *",
        "0 2 * * FOX",
        "0;2 * * *",
        "0 22-4 * * *",
    ],
)
def test_anything_else_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="must be five fields") as refusal:
        check_cron(expression)
    assert "zx81canary" not in str(refusal.value)


_FIELD = st.text("0123456789*/-,#LWRHFMON?", min_size=1, max_size=5)


@settings(deadline=None)
@given(st.text(max_size=30) | st.lists(_FIELD, min_size=5, max_size=5).map(" ".join))
def test_whatever_is_written_is_taken_or_refused(expression: str) -> None:
    try:
        check_cron(expression)
    except ValueError:
        return
    times = list(islice(Timing(expression, None, BERLIN).next_times(NOON), 2))
    assert all(moment > NOON for moment in times)
