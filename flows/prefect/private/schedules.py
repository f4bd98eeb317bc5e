"""The times at which Prefect's scheduler fires a schedule, computed by its own code.

Its classes belong to Prefect's server. They are imported at the first use, so that the API starts
without them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any


def cron_times(cron: str, timezone: str, start: datetime, count: int) -> list[datetime]:
    """Returns the first times from ``start`` on at which Prefect fires that cron, in UTC."""
    from prefect.server.schemas.schedules import CronSchedule

    return _times(CronSchedule(cron=cron, timezone=timezone), start, count)


def interval_times(
    interval: timedelta, timezone: str, anchor: datetime, start: datetime, count: int
) -> list[datetime]:
    """Returns the first times from ``start`` on at which Prefect fires that interval, in UTC."""
    from prefect.server.schemas.schedules import IntervalSchedule

    said = {"interval": interval, "timezone": timezone, "anchor_date": anchor}
    return _times(IntervalSchedule.model_validate(said), start, count)


def _times(schedule: Any, start: datetime, count: int) -> list[datetime]:
    # The public `get_dates` gives the same list, but is async; the callers are not.
    times = schedule._get_dates_generator(n=count, start=start)  # noqa: SLF001
    return [datetime.fromtimestamp(at.timestamp(), UTC) for at in times]
