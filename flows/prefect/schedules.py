"""Schedules of batches. Prefect keeps them, on deployments of the bulk flow, and fires them.

There is one record: a change here shows in the Prefect UI, and the other way round. Each schedule
that is added here is a deployment of its own, with the batch as its parameters: a schedule's own
parameters are lost when a user switches it in the Prefect UI (3.9.1 writes ``{}`` over whatever a
PATCH leaves out).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from core.uploads import references_in
from flows.errors import (
    DeploymentMissingError,
    PrefectUnavailableError,
    ScheduleNotFoundError,
    ScheduleRefusedError,
    ScheduleTimingError,
)
from flows.prefect.abandoned_runs import BATCH_FLOW, FLOW
from flows.prefect.private.schedules import cron_times, interval_times
from flows.prefect.runs import BATCH_DEPLOYMENT, FlowRuns, translated
from flows.prefect.stored_deployments import (
    StoredDeployment,
    StoredSchedule,
    deployment_by_id,
    deployment_by_name,
    deployments_of_flow,
)

_TOGETHER: Final = 50
_NOT_ACCEPTED: Final = (400, 409, 422)
SCHEDULED_AHEAD: Final = 3
"""Number of upcoming times in a schedule's record."""
_MADE_HERE: Final = "schedule"
"""The tag of deployments that were added here for a schedule."""


@dataclass(frozen=True)
class Timing:
    """When a schedule fires: by ``cron``, every ``interval_s`` seconds, or by ``rrule``.

    One that was made in Prefect may have none of the three, for this version cannot read it.
    ``anchor`` is what an interval counts from, as Prefect has it; None means now. ``day_or`` is
    cron's own way to read day and weekday: either of them is enough.
    """

    cron: str | None
    interval_s: float | None
    timezone: str
    rrule: str | None = None
    day_or: bool = True
    anchor: str | None = None

    def next_times(self, now: datetime) -> Iterator[datetime]:
        """Yields the times after ``now`` at which Prefect fires it, in UTC.

        Those of an ``rrule`` are computed by Prefect only. Raises ScheduleTimingError.
        """
        last = now
        while times := [at for at in self._times(last, now) if at > last]:
            yield from times
            last = times[-1]

    def _times(self, start: datetime, now: datetime) -> list[datetime]:
        if self.cron is not None:
            # Whole seconds: Prefect looks a second back, and a fraction would step over a time.
            start = start.replace(microsecond=0) + timedelta(seconds=1)
            return cron_times(self.cron, self.timezone, start, _TOGETHER, day_or=self.day_or)
        if self.interval_s is not None:
            anchor = self.anchor if self.anchor is not None else now
            return interval_times(self.interval_s, self.timezone, anchor, start, _TOGETHER)
        raise ScheduleTimingError("Easel does not know this kind of schedule")


@dataclass(frozen=True)
class ScheduleRecord:
    """A schedule as Prefect has it. ``parameters`` are those of the bulk flow.

    ``has_own_deployment``: it was added here. ``in_file``: it comes from ``prefect.yaml``, whose
    values are restored at each start. ``own_parameters`` are those that only this schedule has,
    over its deployment's. ``no_times`` says why it is active and has no ``next_times``.
    """

    id: UUID
    deployment_id: UUID
    name: str
    timing: Timing
    active: bool
    parameters: dict[str, Any]
    next_times: tuple[datetime, ...]
    in_file: bool
    has_own_deployment: bool
    own_parameters: dict[str, Any] = field(default_factory=dict)
    no_times: str | None = None


class Schedules:
    """Reads and writes schedules.

    Raises PrefectUnavailableError, DeploymentMissingError; a write also OtherStoreError.
    """

    def __init__(self, runs: FlowRuns) -> None:
        self._runs = runs
        self._adding = asyncio.Lock()

    async def all(self) -> tuple[ScheduleRecord, ...]:
        """Returns every schedule of the bulk flow, those of ``prefect.yaml`` too."""
        async with translated():
            deployments = await deployments_of_flow(self._runs.client, BATCH_FLOW)
            planned = await self._planned(deployments)
        return _records(deployments, planned)

    async def uploads(self) -> frozenset[str]:
        """Returns the ids of the uploads that any deployment of Easel's flows refers to."""
        async with translated():
            deployments = await deployments_of_flow(self._runs.client, BATCH_FLOW)
            deployments += await deployments_of_flow(self._runs.client, FLOW)
        parameters = [one.parameters for one in deployments]
        parameters += [each.parameters for one in deployments for each in one.schedules]
        found = references_in(parameters)
        return frozenset(one.id for one in found if one.source == "upload")

    async def get(self, schedule_id: UUID) -> ScheduleRecord:
        """Returns one schedule. Raises ScheduleNotFoundError."""
        for record in await self.all():
            if record.id == schedule_id:
                return record
        raise ScheduleNotFoundError(f"no schedule {schedule_id}")

    async def add(
        self, name: str, timing: Timing, parameters: dict[str, Any], *, active: bool
    ) -> ScheduleRecord:
        """Create a schedule that starts batches: a deployment of its own, like ``bulk/batch``.

        Also raises ScheduleRefusedError: then nothing was created.
        """
        await self._runs.confirm_owner()
        pattern = await self._pattern()
        async with self._adding:  # else two could choose the same free name
            free = await self._free_name(name)
            made = await self._create(
                {
                    **pattern.model_dump(
                        mode="json",
                        include={
                            "flow_id",
                            "entrypoint",
                            "work_pool_name",
                            "work_queue_name",
                            "pull_steps",
                            "parameter_openapi_schema",
                        },
                    ),
                    "name": free,
                    "description": "A schedule that was created in Easel.",
                    "tags": ["easel", _MADE_HERE],
                    "parameters": parameters,
                    "schedules": [{"schedule": _prefect_schedule(timing), "active": active}],
                }
            )
        [record] = _records([made], {})
        return record

    async def _create(self, wanted: dict[str, Any]) -> StoredDeployment:
        client = self._runs.client
        try:
            async with translated():
                with _refused():
                    answer = await client.request("POST", "/deployments/", json=wanted)
                return StoredDeployment.model_validate(answer.json())
        except PrefectUnavailableError:
            # The answer may be what was lost: then the schedule is there.
            with suppress(PrefectUnavailableError, ObjectNotFound):
                async with translated():
                    return await deployment_by_name(client, f"{BATCH_FLOW}/{wanted['name']}")
            raise

    async def change(
        self,
        record: ScheduleRecord,
        *,
        timing: Timing | None = None,
        parameters: dict[str, Any] | None = None,
        active: bool | None = None,
    ) -> ScheduleRecord:
        """Change what is given. Raises ScheduleNotFoundError if the schedule was removed.

        Also raises ScheduleRefusedError: then nothing was changed.
        """
        await self._runs.confirm_owner()
        own = record.own_parameters
        if parameters is not None:
            own = {} if record.has_own_deployment else parameters
        # Prefect removes a schedule's own parameters if they are left out. The timing is left out
        # unless it changes: an interval would lose its anchor.
        changed: dict[str, Any] = {"parameters": own}
        if active is not None:
            changed["active"] = active
        if timing is not None:
            changed["schedule"] = _prefect_schedule(timing)
        try:
            async with translated():
                with _refused():
                    await self._change(record, changed, parameters)
        except ObjectNotFound as error:
            raise ScheduleNotFoundError(f"no schedule {record.id}") from error
        try:
            return await self.get(record.id)
        except PrefectUnavailableError:  # the change is made: say what it is now
            return _as_changed(record, timing, parameters, active)

    async def _change(
        self, record: ScheduleRecord, changed: dict[str, Any], parameters: dict[str, Any] | None
    ) -> None:
        client = self._runs.client
        of_deployment = parameters if record.has_own_deployment else None
        if of_deployment is not None:
            wanted = {"parameters": of_deployment, **await self._schema()}
            await client.update_deployment(
                record.deployment_id, DeploymentUpdate.model_validate(wanted)
            )
        try:
            await _patch(client, record, changed)
        except (httpx.HTTPError, OSError):
            if of_deployment is not None:  # an error means that nothing is changed
                await client.update_deployment(
                    record.deployment_id, DeploymentUpdate(parameters=record.parameters)
                )
            raise

    async def _schema(self) -> dict[str, Any]:
        """Returns what parameters may be now, for a deployment; nothing if it is not known.

        Prefect's server checks new parameters by the schema of the version that made the schedule.
        """
        try:
            schema = (await self._pattern()).parameter_openapi_schema
        except DeploymentMissingError:
            return {}
        return {} if schema is None else {"parameter_openapi_schema": schema}

    async def remove(self, record: ScheduleRecord) -> None:
        """Remove the schedule, if it is still there, and the runs that it planned."""
        await self._runs.confirm_owner()
        client = self._runs.client
        try:
            async with translated():
                if record.has_own_deployment:
                    await client.delete_deployment(record.deployment_id)
                else:
                    await client.delete_deployment_schedule(record.deployment_id, record.id)
        except ObjectNotFound:
            return

    async def _pattern(self) -> StoredDeployment:
        """Returns the deployment that new ones are copied from."""
        try:
            async with translated():
                return await deployment_by_name(self._runs.client, BATCH_DEPLOYMENT)
        except ObjectNotFound as error:
            raise DeploymentMissingError(BATCH_DEPLOYMENT) from error

    async def _free_name(self, name: str) -> str:
        """Returns a free deployment name. Schedules may share a name: later ones are numbered."""
        async with translated():
            deployments = await deployments_of_flow(self._runs.client, BATCH_FLOW)
        taken = {one.name for one in deployments}
        names = (name if number == 1 else f"{name} ({number})" for number in range(1, 10_000))
        return next(one for one in names if one not in taken)

    async def _planned(self, deployments: list[StoredDeployment]) -> Mapping[UUID, list[datetime]]:
        """Returns the times of the runs that Prefect has planned, by schedule; for RRULEs only."""
        wanted = [
            deployment.id
            for deployment in deployments
            if any(_timing(one.schedule).rrule is not None for one in deployment.schedules)
        ]
        planned: dict[UUID, list[datetime]] = {}
        if not wanted:
            return planned
        runs = await self._runs.client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=wanted)),
            flow_run_filter=_scheduled_between(datetime.now(UTC), None),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        )
        for run in runs:
            made_by, due = _schedule_id(run), run.expected_start_time
            if made_by is not None and due is not None:
                planned.setdefault(made_by, []).append(datetime.fromtimestamp(due.timestamp(), UTC))
        return planned


@contextmanager
def _refused() -> Iterator[None]:
    """Raise ScheduleRefusedError for what Prefect does not accept."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        if error.response.status_code not in _NOT_ACCEPTED:
            raise
        raise ScheduleRefusedError(error.response.text[:300]) from error


async def _patch(client: PrefectClient, record: ScheduleRecord, changed: dict[str, Any]) -> None:
    path = {"id": record.deployment_id, "schedule_id": record.id}
    try:
        await client.request(
            "PATCH", "/deployments/{id}/schedules/{schedule_id}", path_params=path, json=changed
        )
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            raise ObjectNotFound(http_exc=error) from error
        raise


def _prefect_schedule(timing: Timing) -> dict[str, Any]:
    """Returns the timing as Prefect's server takes it."""
    if timing.cron is not None:
        return {"cron": timing.cron, "timezone": timing.timezone, "day_or": timing.day_or}
    if timing.rrule is not None:
        return {"rrule": timing.rrule, "timezone": timing.timezone}
    said = {"interval": timing.interval_s, "timezone": timing.timezone}
    return said if timing.anchor is None else {**said, "anchor_date": timing.anchor}


def _records(
    deployments: Iterable[StoredDeployment], planned: Mapping[UUID, list[datetime]]
) -> tuple[ScheduleRecord, ...]:
    now = datetime.now(UTC)
    return tuple(
        _record(deployment, schedule, now, planned.get(schedule.id, ()))
        for deployment in deployments
        for schedule in deployment.schedules
    )


def _record(
    deployment: StoredDeployment,
    schedule: StoredSchedule,
    now: datetime,
    planned: Iterable[datetime] = (),
) -> ScheduleRecord:
    is_own = _MADE_HERE in deployment.tags
    record = ScheduleRecord(
        id=schedule.id,
        deployment_id=deployment.id,
        name=_name(deployment, schedule),
        timing=_timing(schedule.schedule),
        active=schedule.active and not deployment.paused,
        parameters={**deployment.parameters, **schedule.parameters},
        next_times=(),
        in_file=not is_own and schedule.slug is not None,
        has_own_deployment=is_own,
        own_parameters=schedule.parameters,
    )
    return _with_times(record, now, planned)


def _with_times(
    record: ScheduleRecord, now: datetime, planned: Iterable[datetime] = ()
) -> ScheduleRecord:
    """Returns the record with its next times, or with the reason why there are none."""
    if not record.active:
        return replace(record, next_times=(), no_times=None)
    if record.timing.rrule is not None:
        times, why = tuple(islice(planned, SCHEDULED_AHEAD)), "Prefect has planned no run of it yet"
    else:
        times, why = _upcoming(record.timing, now)
    return replace(record, next_times=times, no_times=None if times else why)


def _upcoming(timing: Timing, now: datetime) -> tuple[tuple[datetime, ...], str]:
    try:
        return tuple(islice(timing.next_times(now), SCHEDULED_AHEAD)), "it does not come again"
    except ScheduleTimingError as error:
        return (), str(error)


def _as_changed(
    record: ScheduleRecord,
    timing: Timing | None,
    parameters: dict[str, Any] | None,
    active: bool | None,
) -> ScheduleRecord:
    changed = replace(
        record,
        timing=timing or record.timing,
        parameters=record.parameters if parameters is None else parameters,
        active=record.active if active is None else active,
    )
    return _with_times(changed, datetime.now(UTC))


def _name(deployment: StoredDeployment, schedule: StoredSchedule) -> str:
    return deployment.name if _MADE_HERE in deployment.tags else schedule.slug or deployment.name


def _timing(said: Any) -> Timing:
    """Returns the timing that Prefect has, of which any part may be odd."""
    if not isinstance(said, dict):
        return Timing(None, None, "UTC")
    interval = said.get("interval")
    return Timing(
        cron=_text(said.get("cron")),
        interval_s=float(interval) if isinstance(interval, int | float) else None,
        timezone="UTC" if said.get("timezone") is None else str(said["timezone"]),
        rrule=_text(said.get("rrule")),
        day_or=said.get("day_or") is not False,
        anchor=_text(said.get("anchor_date")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


# --- for a run that a schedule has made


async def later_run_is_due(run: FlowRun) -> bool:
    """Returns whether a later run of the same schedule is due already."""
    due, made_by = run.expected_start_time, _schedule_id(run)
    if due is None or made_by is None or run.deployment_id is None:
        return False
    async with get_client() as client:
        others = await _scheduled(client, run.deployment_id, after=due)
    return any(_schedule_id(other) == made_by and other.id != run.id for other in others)


async def schedule_name_of(run: FlowRun) -> str | None:
    """Returns the name of the schedule that created the run; None if no schedule did."""
    schedule_id = _schedule_id(run)
    if schedule_id is None or run.deployment_id is None:
        return None
    async with get_client() as client:
        deployment = await deployment_by_id(client, run.deployment_id)
    made_by = (one for one in deployment.schedules if one.id == schedule_id)
    return next((_name(deployment, one) for one in made_by), None)


async def _scheduled(client: PrefectClient, deployment_id: UUID, after: datetime) -> list[FlowRun]:
    return await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
        flow_run_filter=_scheduled_between(after + timedelta(milliseconds=1), datetime.now(UTC)),
    )


def _scheduled_between(after: datetime, before: datetime | None) -> FlowRunFilter:
    return FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(after_=after, before_=before),
    )


def _schedule_id(run: FlowRun) -> UUID | None:
    made_by = run.created_by
    return made_by.id if made_by is not None and made_by.type == "SCHEDULE" else None
