"""When schedules fire next: by the clocks of their zone, and as Prefect itself reckons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.server.schemas import schedules as prefects

from flows.errors import ScheduleTimingError
from flows.prefect.cron import difference, plain_cron
from flows.prefect.schedules import SCHEDULED_AHEAD, Timing, _record
from flows.prefect.stored_deployments import StoredDeployment, StoredSchedule

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
    said = anchor.isoformat() if anchor is not None else None
    timing = Timing(None, interval.total_seconds(), "UTC", anchor=said)
    return list(islice(timing.next_times(now), count))


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
    of = StoredDeployment(id=UUID(int=2), name="nightly", flow_id=UUID(int=1), **deployment)
    said = schedule.model_dump(mode="json")
    return _record(of, StoredSchedule(id=UUID(int=3), schedule=said), now)


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
        "5 4 * JAN,JUL 0,7",
        "0 0 L * *",
        "0 12 * * 5#2",
    ],
)
async def test_the_times_of_cron_are_those_at_which_prefect_fires(
    expression: str, now: datetime
) -> None:
    assert plain_cron(expression) == expression
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

    assert (told.timing.interval_s, told.timing.timezone) == (3600.0, "UTC")
    assert told.next_times[0] == NOON + timedelta(minutes=53)
    assert len(told.next_times) == SCHEDULED_AHEAD


def test_what_only_prefect_understands_has_its_times_too() -> None:
    told = _told(CronSchedule(cron="0 22-4 * * *"), NOON)

    assert told.next_times[0] == datetime(2026, 3, 1, 22, 0, tzinfo=UTC)


def test_a_deployment_that_is_paused_has_no_next_times() -> None:
    told = _told(CronSchedule(cron="0 7 * * *"), NOON, paused=True)

    assert (told.active, told.next_times) == (False, ())


@pytest.mark.parametrize("zone", ["", "nowhere", "posix/UTC", "UTC ", "../UTC"])
def test_a_zone_that_prefect_does_not_know_has_no_times(zone: str) -> None:
    with pytest.raises(ScheduleTimingError, match="cannot compute"):
        next(Timing(None, 86_400, zone).next_times(NOON))


def test_a_schedule_of_any_kind_is_told_with_what_is_known() -> None:
    of = StoredDeployment(id=UUID(int=2), name="nightly", flow_id=UUID(int=1))
    unknown: tuple[Any, ...] = (
        None,
        [],
        {},
        {"x": 1},
        {"cron": 5},
        {"interval": "P1M"},
        {"interval": None},
    )
    for said in unknown:
        told = _record(of, StoredSchedule(id=UUID(int=3), schedule=said), NOON)
        assert (told.next_times, told.active) == ((), True)
        assert told.no_times == "Easel does not know this kind of schedule"

    without_times: tuple[tuple[Any, str], ...] = (
        ({"cron": "0 0 30 2 *", "timezone": "UTC"}, "it never comes"),
        ({"interval": 1e12, "timezone": "UTC"}, "it is too far away"),
        ({"interval": -5, "timezone": "UTC"}, "Prefect's scheduler cannot compute its times"),
        ({"rrule": "FREQ=DAILY"}, "Prefect has planned no run of it yet"),
    )
    for said, why in without_times:
        told = _record(of, StoredSchedule(id=UUID(int=3), schedule=said), NOON)
        assert (told.next_times, told.no_times) == ((), why)


def test_day_and_weekday_are_read_as_the_schedule_says() -> None:
    """The 13th that is a Friday, and not each 13th and each Friday."""
    said = CronSchedule(cron="0 0 13 * 5", timezone="UTC", day_or=False)
    told = _told(said, NOON)

    assert told.timing.day_or is False
    assert [f"{at:%d %a}" for at in told.next_times] == ["13 Fri"] * 3


# --- what may be asked for


@pytest.mark.parametrize(
    "expression",
    ["0 2 * * *", "*/15 8-17 * * MON-FRI", "0 0 1,15 * *", "0 0 29 2 *", "5 4 * * 0", "0 0 L * *"],
)
def test_five_fields_are_taken(expression: str) -> None:
    assert plain_cron(expression) == expression
    assert difference(expression) is None


@pytest.mark.parametrize(
    ("expression", "plain"),
    [
        ("0 2-2 * * *", "0 2 * * *"),
        ("5-5 2-2/3 1-1,15-15 JAN-jan MON-MON", "5 2 1,15 JAN MON"),
        ("  0   2 * * *", "0 2 * * *"),
    ],
)
def test_a_range_of_one_value_is_that_value(expression: str, plain: str) -> None:
    """Prefect takes it for every value."""
    assert plain_cron(expression) == plain


def test_where_prefect_reads_a_line_in_another_way_is_told() -> None:
    assert "instead of" in (difference("0 2-2 * * *") or "")
    assert "instead of" in (difference("0 0 */2 * MON") or "")
    assert difference("0 0 2 * * *") == "cron does not know this line"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "must be five fields"),
        (" ", "must be five fields"),
        ("zx81canary", "must be five fields"),
        ("* * * *", "this has 4"),
        # With six, Prefect reads the last one as seconds: this would fire each second for a day.
        ("0 0 2 * * *", "this has 6"),
        ("* * * * * *", "this has 6"),
        ("0 2 * * * * 2030", "this has 7"),
        ("@daily", "instead of @daily write 0 0 [*] [*] [*]$"),
        ("@Weekly", "instead of @weekly write 0 0 [*] [*] 0$"),
        ("@reboot", "must be five fields"),
        ("H 2 * * *", "has a minute that is not understood: use 0-59"),
        ("R 2 * * *", "has a minute that"),
        ("60 * * * *", "has a minute that"),
        ("* 24 * * *", "has an hour that is not understood: use 0-23"),
        ("* * 0 * *", "has a day that is not understood: use 1-31"),
        ("* * * 13 *", "has a month that is not understood: use 1-12 or JAN-DEC"),
        ("* * * * 8", "has a weekday that is not understood: use 0-7 or SUN-SAT"),
        ("*/0 * * * *", "has a minute that"),
        ("-1 * * * *", "has a minute that"),
        ("1.5 * * * *", "has a minute that"),
        ("٠ ٢ * * *", "must be five fields"),
        ("0 0 31 2 *", "never comes: there is no such day"),
        ("0 0 31 4,6 *", "never comes"),
        ("0 2 * * FOX", "has a weekday that"),
        ("0 2 * FOX *", "has a month that"),
        ("0;2 * * *", "this has 4"),
        ("0 22-4 * * *", "has an hour range that goes down: instead of 22-4 write 22-23,0-4$"),
        ("0 2 * * FRI-MON", "instead of FRI-MON write FRI-SAT,SUN-MON$"),
        ("0 2 * nov-jan *", "instead of nov-jan write NOV-DEC,JAN$"),
        ("0 22-4/2 * * *", "instead of 22-4/2 write its values out$"),
        ("0 0 LW * *", "is not understood by Prefect"),
        ("0 0 */2 * MON", "is read in another way by Prefect"),
    ],
)
def test_anything_else_is_refused(expression: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        plain_cron(expression)
    assert "zx81canary" not in str(refusal.value)


@pytest.mark.parametrize("line", ["0 22-23,0-4 * * *", "0 2 * * FRI-SAT,SUN-MON"])
def test_what_a_refusal_offers_is_taken(line: str) -> None:
    assert plain_cron(line) == line


@pytest.mark.parametrize("microsecond", [0, 1, 970_000])
@pytest.mark.parametrize("second", [0, 58, 59])
def test_the_next_minute_is_never_stepped_over(second: int, microsecond: int) -> None:
    now = datetime(2026, 11, 29, 4, 3, second, microsecond, tzinfo=UTC)
    first = next(Timing("* * * * *", None, "UTC").next_times(now))
    assert first == datetime(2026, 11, 29, 4, 4, tzinfo=UTC)


_FIELD = st.text("0123456789*/-,#LWRHFMON?", min_size=1, max_size=5)
_PART = st.builds(
    "{}{}{}".format,
    st.sampled_from(["*", "1", "2", "6", "1-5", "2-2", "0-7", "5,6", "7-7,1"]),
    st.sampled_from(["", "", "/2", "/7"]),
    st.sampled_from(["", "", ",3"]),
)


@settings(deadline=None)
@given(
    st.text(max_size=30)
    | st.lists(_FIELD, min_size=5, max_size=5).map(" ".join)
    | st.lists(_PART, min_size=5, max_size=5).map(" ".join)
)
def test_whatever_is_written_is_refused_or_fires_as_cron_says(expression: str) -> None:
    try:
        plain = plain_cron(expression)
    except ValueError:
        return
    now = datetime.now(UTC)
    times = list(islice(Timing(plain, None, "UTC").next_times(now), 10))
    assert times == list(islice(CronSim(plain, now), len(times)))
