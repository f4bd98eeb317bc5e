"""Prefect's private way to the times of a schedule gives those of its public one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.server.schemas import schedules

from flows.prefect.private.schedules import cron_times, interval_times

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


async def test_the_times_of_a_schedule_are_those_of_prefects_public_method() -> None:
    """That they are right, and across changes of the clocks: ``test_schedule_timing.py``."""
    zone, step = "Europe/Berlin", timedelta(days=1)
    said: dict[str, Any] = {"interval": step, "timezone": zone, "anchor_date": NOON}
    cron = schedules.CronSchedule(cron="*/20 7 * * *", timezone=zone)
    interval = schedules.IntervalSchedule(**said)

    of_cron = cron_times("*/20 7 * * *", zone, NOON, 50)
    of_interval = interval_times(step.total_seconds(), zone, NOON, NOON, 50)

    assert of_cron == [at.astimezone(UTC) for at in await cron.get_dates(50, start=NOON)]
    assert of_interval == [at.astimezone(UTC) for at in await interval.get_dates(50, start=NOON)]
    assert of_interval[0] == NOON
    assert len(of_cron) == len(of_interval) == 50
    assert {at.utcoffset() for at in (*of_cron, *of_interval)} == {timedelta(0)}
