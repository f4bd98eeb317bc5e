"""The documents of schedules that clients read."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from api.documents import Document


class ScheduleDocument(Document):
    """A schedule: when which batch begins."""

    schedule_id: UUID
    name: str
    cron: str | None
    interval_s: float | None
    rrule: str | None = Field(
        description="An iCalendar rule, of a schedule that was set in Prefect."
    )
    day_or: bool = Field(
        description="Whether a cron line's day or weekday is enough, as in cron. False, if set so "
        "in Prefect: both must match."
    )
    timezone: str
    active: bool
    next_runs: list[datetime] = Field(description="The next times, in UTC; none when not active.")
    note: str | None = Field(
        description="Why an active schedule has no next times, or what of it cannot be run. "
        "Null if nothing is wrong."
    )
    batch: dict[str, Any] = Field(description="The batch as `POST /api/v1/batches` takes it.")
    catch_up_minutes: int = Field(
        description="A run that would start later than this (the machine was off) is skipped."
    )
    in_file: bool = Field(description="It comes from `prefect.yaml`, and comes back from there.")
    url: str


class SchedulesDocument(Document):
    """Every schedule."""

    items: list[ScheduleDocument]
