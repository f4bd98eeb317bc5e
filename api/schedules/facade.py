"""What the API can do with schedules, as functions: called by routes and by the pages of web."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from api.batches.facade import BatchFacade, Manifest
from api.errors import ProblemError
from api.generations.documents import Links
from api.schedules.documents import ScheduleDocument, SchedulesDocument
from core.batches.request import FlowBatchRequest, Zone
from core.fields import Text
from core.stored import read_stored, reason_of
from flows.batches.parameters import CATCH_UP_MINUTES, WEEK_MINUTES
from flows.errors import (
    DeploymentMissingError,
    OtherStoreError,
    PrefectUnavailableError,
    ScheduleNotFoundError,
    ScheduleRefusedError,
    ScheduleTimingError,
)
from flows.prefect.cron import difference, plain_cron
from flows.prefect.schedules import ScheduleRecord, Schedules, Timing

PARAMETERS_MAX: Final = 400_000
"""Prefect stores parameters of half a megabyte at most."""
INTERVAL_MIN_S: Final = 10
_NOT_IN_NAMES: Final = "/%&<>"
"""Characters that Prefect refuses in a deployment's name."""
_NOT_PRINTED: Final = ("Cc", "Cf", "Zl", "Zp")
"""Unicode's categories of what has no picture of its own, or changes the order of other text."""
_JOINERS: Final = "\u200c\u200d"
"""Scripts and emoji are written with these two."""


def _name(text: str) -> str:
    if any(character in _NOT_IN_NAMES for character in text):
        raise ValueError(f"must not contain any of {_NOT_IN_NAMES}")
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise ValueError("must not be blank")
    if any(unicodedata.category(one) in _NOT_PRINTED and one not in _JOINERS for one in name):
        raise ValueError("must be printable: no line breaks, control or invisible characters")
    return name


def _zone(name: str) -> str:
    try:
        next(Timing("0 0 * * *", None, name).next_times(datetime.now(UTC)))
    except (ScheduleTimingError, StopIteration) as error:
        raise ValueError(
            "is a time zone that Prefect's scheduler does not know; write an IANA name such as "
            "Europe/Berlin"
        ) from error
    return name


Cron = Annotated[Text, Field(max_length=200), AfterValidator(plain_cron)]
ScheduleZone = Annotated[Zone, AfterValidator(_zone)]
Interval = Annotated[float, Field(ge=INTERVAL_MIN_S, le=366 * 86_400)]
CatchUp = Annotated[int, Field(ge=0, le=WEEK_MINUTES)]
_CATCH_UP: Final = TypeAdapter[int](CatchUp)
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
    timezone: ScheduleZone = Field(
        default="UTC", description="IANA name; `cron` follows its clocks."
    )
    active: bool = True
    catch_up_minutes: CatchUp = Field(
        default=CATCH_UP_MINUTES,
        description="A run that would start later than this (the machine was off) is skipped.",
    )
    batch: FlowBatchRequest = Field(
        description="Without a `seed`, each run draws fresh ones; with one, all are alike."
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.cron is None) == (self.interval_s is None):
            raise ValueError("say either cron or interval_s")
        return self


class ScheduleChange(_Strict):
    """What is to be changed; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"active": False}, {"cron": "30 1 * * 6"}]}
    )

    cron: Cron | None = None
    interval_s: Interval | None = None
    timezone: ScheduleZone | None = None
    active: bool | None = None
    catch_up_minutes: CatchUp | None = None
    batch: FlowBatchRequest | None = None

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
        cron = plain_cron(cron)
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
        timing = _possible(Timing(wanted.cron, wanted.interval_s, wanted.timezone))
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
                    "schedule_in_file",
                    "change it in prefect.yaml; here it can only be switched on and off",
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
                    "schedule_in_file",
                    "it would come back from prefect.yaml: remove it there, or switch it off",
                )
            await self._schedules.remove(record)

    def _document(self, record: ScheduleRecord) -> ScheduleDocument:
        batch, catch_up, odd = _stored_parameters(record.parameters)
        notes = [
            note for note in (record.no_times, _other_reading(record), odd) if note is not None
        ]
        return ScheduleDocument(
            schedule_id=record.id,
            name=record.name,
            cron=record.timing.cron,
            interval_s=record.timing.interval_s,
            rrule=record.timing.rrule,
            day_or=record.timing.day_or,
            timezone=record.timing.timezone,
            active=record.active,
            next_runs=list(record.next_times),
            note="; ".join(notes) or None,
            batch=batch,
            catch_up_minutes=catch_up,
            in_file=record.in_file,
            url=f"{self._links.schedules}/{record.id}",
        )


def _other_reading(record: ScheduleRecord) -> str | None:
    """Returns where Prefect fires a cron line in another way than a reader of cron expects."""
    timing = record.timing
    if timing.cron is None or not timing.day_or or not record.next_times:
        return None
    other = difference(timing.cron)
    return None if other is None else f"Prefect reads this line in another way: {other}"


def _stored_parameters(parameters: dict[str, Any]) -> tuple[dict[str, Any], int, str | None]:
    """Returns the batch, the minutes of catch-up, and what is odd: Prefect takes any value."""
    batch = parameters.get("batch")
    catch_up = parameters.get("catch_up_minutes", CATCH_UP_MINUTES)
    odd: list[str] = []
    try:
        read_stored(FlowBatchRequest, batch if batch is not None else {})
    except ValidationError as error:
        odd.append(f"its batch cannot be created ({reason_of(error)})")
    try:
        catch_up = _CATCH_UP.validate_python(catch_up, strict=True)
    except ValidationError:
        catch_up = CATCH_UP_MINUTES
        odd.append("its catch_up_minutes are no such number")
    shown = _without_urls(batch) if isinstance(batch, dict) else {}
    return shown, catch_up, "; ".join(odd) or None


def _without_urls(batch: dict[str, Any]) -> dict[str, Any]:
    """Returns the batch as documents show it: one that was made in Prefect may have any field."""
    shown: dict[str, Any] = _without_url(batch)
    items = shown.get("items")
    if "defaults" in shown:
        shown["defaults"] = _without_url(shown["defaults"])
    if isinstance(items, list):
        shown["items"] = [_without_url(item) for item in items]
    return shown


def _without_url(fields: Any) -> Any:
    if not isinstance(fields, dict):
        return fields
    return {name: value for name, value in fields.items() if name != "callback_url"}


def _possible(timing: Timing) -> Timing:
    """Returns the timing. ProblemError 422 if Prefect's scheduler finds no time for it."""
    if timing.rrule is not None:
        return timing
    try:
        if next(timing.next_times(datetime.now(UTC)), None) is not None:
            return timing
        why = "it does not come again"
    except ScheduleTimingError as error:
        why = str(error)
    raise ProblemError("invalid_request", f"this schedule is not possible: {why}")


def _parameters(batch: FlowBatchRequest, catch_up_minutes: int) -> dict[str, Any]:
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
    if wanted.cron is not None or wanted.interval_s is not None:
        return _possible(Timing(wanted.cron, wanted.interval_s, zone))
    if now.cron is None and now.interval_s is None and now.rrule is None:
        raise ProblemError(
            "invalid_request", "Easel cannot read when it fires: give cron or interval_s too"
        )
    return _possible(replace(now, timezone=zone))


def _new_parameters(now: ScheduleRecord, wanted: ScheduleChange) -> dict[str, Any] | None:
    if wanted.batch is None and wanted.catch_up_minutes is None:
        return None
    catch_up = wanted.catch_up_minutes
    if catch_up is None:
        _, catch_up, _ = _stored_parameters(now.parameters)
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
    except ScheduleRefusedError as error:
        raise ProblemError(
            "invalid_request", f"Prefect does not accept this schedule: {error}"
        ) from error
    except OtherStoreError as error:
        raise ProblemError(
            "not_available",
            "schedules cannot be changed: the work pool belongs to another store; see /readyz",
        ) from error
    except (PrefectUnavailableError, DeploymentMissingError) as error:
        raise ProblemError(
            "not_available",
            "Prefect keeps the schedules, and it isn't answering; try again",
            headers={"Retry-After": "5"},
        ) from error
