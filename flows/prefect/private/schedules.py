"""The times at which Prefect's scheduler fires a schedule, computed by its own code.

Its classes belong to Prefect's server. They are imported at the first use, so that the API starts
without them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flows.errors import ScheduleTimingError


def cron_times(
    cron: str, timezone: str, start: datetime, count: int, *, day_or: bool = True
) -> list[datetime]:
    """Returns the first times from ``start`` on at which Prefect fires that cron, in UTC.

    Raises ScheduleTimingError where Prefect's scheduler fails.
    """
    from prefect.server.schemas.schedules import CronSchedule

    return _times(
        CronSchedule, start, count, {"cron": cron, "timezone": timezone, "day_or": day_or}
    )


def interval_times(
    interval_s: float, timezone: str, anchor: datetime | str, start: datetime, count: int
) -> list[datetime]:
    """Returns the first times from ``start`` on at which Prefect fires that interval, in UTC.

    Raises ScheduleTimingError where Prefect's scheduler fails.
    """
    from prefect.server.schemas.schedules import IntervalSchedule

    said = {"interval": interval_s, "timezone": timezone, "anchor_date": anchor}
    return _times(IntervalSchedule, start, count, said)


def _times(kind: Any, start: datetime, count: int, said: dict[str, Any]) -> list[datetime]:
    try:
        # The public `get_dates` gives the same list, but is async; the callers are not.
        times = kind.model_validate(said)._get_dates_generator(n=count, start=start)  # noqa: SLF001
        return [datetime.fromtimestamp(at.timestamp(), UTC) for at in times]
    except Exception as error:  # for a zone, a cron or a number, each library has its own
        raise ScheduleTimingError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if "find next date" in str(error):  # croniter's words
        return "it never comes"
    if isinstance(error, OverflowError):
        return "it is too far away"
    return "Prefect's scheduler cannot compute its times"
