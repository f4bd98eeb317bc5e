"""What the API can do with schedules, as functions: called by routes and by the pages of web."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from api.batches.facade import BatchFacade, Manifest
from api.errors import ProblemError
from api.generations.documents import Links
from api.schedules.documents import ScheduleDocument, SchedulesDocument
from core.batches.request import BatchRequest, Zone
from core.requests import Text
from flows.batches.parameters import CATCH_UP_MINUTES, WEEK_MINUTES
from flows.errors import DeploymentMissingError, PrefectUnavailableError, ScheduleNotFoundError
from flows.prefect.schedules import ScheduleRecord, Schedules, Timing, check_cron

PARAMETERS_MAX: Final = 400_000
"""Prefect stores parameters of half a megabyte at most."""
INTERVAL_MIN_S: Final = 10
_NOT_IN_NAMES: Final = "/%&<>"
"""Characters that Prefect refuses in a deployment's name."""


def _cron(text: str) -> str:
    check_cron(text)
    return text


def _name(text: str) -> str:
    if any(character in _NOT_IN_NAMES for character in text):
        raise ValueError(f"must not contain any of {_NOT_IN_NAMES}")
    return text


Cron = Annotated[Text, Field(max_length=200), AfterValidator(_cron)]
Interval = Annotated[float, Field(ge=INTERVAL_MIN_S, le=366 * 86_400)]
CatchUp = Annotated[int, Field(ge=0, le=WEEK_MINUTES)]
_NIGHTLY: Final[dict[str, Any]] = {
    "name": "nightly foxes",
    "cron": "0 2 * * *",
    "timezone": "Europe/Berlin",
    "batch": {"defaults": {"prompt": "a {red|silver} fox"}, "count": 8, "not_after": "07:00"},
}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class ScheduleRequest(_Strict):
    """A new schedule: `cron` or `interval_s`, and the batch that begins then."""

    model_config = ConfigDict(json_schema_extra={"examples": [_NIGHTLY]})

    name: Annotated[Text, Field(min_length=1, max_length=100), AfterValidator(_name)]
    cron: Cron | None = Field(default=None, description="Minute, hour, day, month, weekday.")
    interval_s: Interval | None = None
    timezone: Zone = Field(default="UTC", description="IANA name; `cron` follows its clocks.")
    active: bool = True
    catch_up_minutes: CatchUp = Field(
        default=CATCH_UP_MINUTES,
        description="A run that would begin later than this (the machine was off) is skipped.",
    )
    batch: BatchRequest = Field(
        description="Without a `seed`, each run draws fresh ones; with one, all are alike."
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.cron is None) == (self.interval_s is None):
            raise ValueError("say either cron or interval_s")
        return self


class ScheduleChange(_Strict):
    """What is to be changed; what is left out stays."""

    cron: Cron | None = None
    interval_s: Interval | None = None
    timezone: Zone | None = None
    active: bool | None = None
    catch_up_minutes: CatchUp | None = None
    batch: BatchRequest | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.cron is not None and self.interval_s is not None:
            raise ValueError("say either cron or interval_s")
        return self


@dataclass(frozen=True)
class Times:
    """When a schedule fires: ``cron`` or ``interval_s``; and the times after now, if by ``cron``.

    Those of an interval are counted from when the schedule is made.
    """

    cron: str | None
    interval_s: float | None
    timezone: str
    next_runs: tuple[datetime, ...]


def times_of(cron: str | None, interval_s: float | None, timezone: str, shown: int) -> Times:
    """Returns when a schedule would fire. ProblemError 422 for an invalid cron expression."""
    if cron is None:
        return Times(None, interval_s, timezone, ())
    try:
        check_cron(cron)
    except ValueError as error:
        raise ProblemError("invalid_request", f"Cron {error}") from error
    ahead = Timing(cron, None, timezone).next_times(datetime.now(UTC))
    return Times(cron, None, timezone, tuple(islice(ahead, shown)))


class ScheduleFacade:
    """The schedules as clients see them. Raises ProblemError."""

    def __init__(self, schedules: Schedules, batches: BatchFacade, links: Links) -> None:
        self._schedules = schedules
        self._batches = batches
        self._links = links

    async def all(self) -> SchedulesDocument:
        """Returns every schedule, those of ``prefect.yaml`` too."""
        with _translated():
            found = await self._schedules.all()
        return SchedulesDocument(items=[self._document(one) for one in found])

    async def get(self, schedule_id: UUID) -> ScheduleDocument:
        """Returns one schedule."""
        with _translated():
            return self._document(await self._schedules.get(schedule_id))

    async def create(self, wanted: ScheduleRequest) -> ScheduleDocument:
        """Create one. The batch is planned first: what cannot be made now is refused now."""
        await self._batches.plan(Manifest(wanted.batch))
        parameters = _parameters(wanted.batch, wanted.catch_up_minutes)
        timing = Timing(wanted.cron, wanted.interval_s, wanted.timezone)
        with _translated():
            made = await self._schedules.add(wanted.name, timing, parameters, active=wanted.active)
        return self._document(made)

    async def change(self, schedule_id: UUID, wanted: ScheduleChange) -> ScheduleDocument:
        """Change the given fields; the rest stays."""
        if wanted.batch is not None:
            await self._batches.plan(Manifest(wanted.batch))
        with _translated():
            record = await self._schedules.get(schedule_id)
            if record.in_file and wanted.model_fields_set - {"active"}:
                raise ProblemError(
                    "schedule_in_file", "change it in prefect.yaml; here it can be switched"
                )
            changed = await self._schedules.change(
                record,
                timing=_new_timing(record.timing, wanted),
                parameters=_new_parameters(record, wanted),
                active=wanted.active,
            )
        return self._document(changed)

    async def delete(self, schedule_id: UUID) -> None:
        """Remove it. ProblemError 409 for one of ``prefect.yaml``, which would come back."""
        with _translated():
            record = await self._schedules.get(schedule_id)
            if record.in_file:
                raise ProblemError(
                    "schedule_in_file", "it would come back from prefect.yaml; switch it off"
                )
            await self._schedules.remove(record)

    def _document(self, record: ScheduleRecord) -> ScheduleDocument:
        return ScheduleDocument(
            schedule_id=record.id,
            name=record.name,
            cron=record.timing.cron,
            interval_s=record.timing.interval_s,
            timezone=record.timing.timezone,
            active=record.active,
            next_runs=list(record.next_times),
            batch=record.parameters.get("batch") or {},
            catch_up_minutes=record.parameters.get("catch_up_minutes", CATCH_UP_MINUTES),
            in_file=record.in_file,
            url=f"{self._links.schedules}/{record.id}",
        )


def _parameters(batch: BatchRequest, catch_up_minutes: int) -> dict[str, Any]:
    batch = batch.model_copy(update={"vary_seed": batch.vary_seed})  # as it is meant now
    if len(batch.model_dump_json(exclude_unset=True)) > PARAMETERS_MAX:
        raise ProblemError(
            "payload_too_large", f"the batch of a schedule may have {PARAMETERS_MAX} bytes at most"
        )
    return {
        "batch": batch.model_dump(mode="json", exclude_unset=True),
        "catch_up_minutes": catch_up_minutes,
    }


def _new_timing(now: Timing, wanted: ScheduleChange) -> Timing | None:
    if wanted.cron is None and wanted.interval_s is None and wanted.timezone is None:
        return None
    zone = wanted.timezone or now.timezone
    if wanted.cron is None and wanted.interval_s is None:
        return Timing(now.cron, now.interval_s, str(ZoneInfo(zone)))
    return Timing(wanted.cron, wanted.interval_s, zone)


def _new_parameters(now: ScheduleRecord, wanted: ScheduleChange) -> dict[str, Any] | None:
    if wanted.batch is None and wanted.catch_up_minutes is None:
        return None
    catch_up = wanted.catch_up_minutes
    if catch_up is None:
        catch_up = now.parameters.get("catch_up_minutes", CATCH_UP_MINUTES)
    if wanted.batch is not None:
        return _parameters(wanted.batch, catch_up)
    return {**now.parameters, "catch_up_minutes": catch_up}


@contextmanager
def _translated() -> Iterator[None]:
    """Translate Prefect's errors into problems."""
    try:
        yield
    except ScheduleNotFoundError as error:
        raise ProblemError("not_found", "there is no schedule with this id") from error
    except (PrefectUnavailableError, DeploymentMissingError) as error:
        raise ProblemError(
            "not_available",
            "Prefect keeps the schedules, and does not answer now; try again",
            headers={"Retry-After": "5"},
        ) from error
