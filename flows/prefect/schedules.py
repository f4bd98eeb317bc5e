"""Schedules of batches. Prefect keeps them, on deployments of the bulk flow, and fires them.

There is one record: a change here shows in the Prefect UI, and the other way round. Each schedule
that is added here is a deployment of its own, with the batch as its parameters: a schedule's own
parameters are lost when a user switches it in the Prefect UI (3.9.1 writes ``{}`` over whatever a
PATCH leaves out).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final
from uuid import UUID

from cronsim import CronSim, CronSimError
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import ObjectNotFound

from flows.errors import DeploymentMissingError, ScheduleNotFoundError
from flows.prefect.abandoned_runs import BATCH_FLOW
from flows.prefect.private.schedules import cron_times, interval_times
from flows.prefect.runs import BATCH_DEPLOYMENT, FlowRuns, translated

_CRON_FIELDS: Final = 5
_TOGETHER: Final = 50
SCHEDULED_AHEAD: Final = 3
"""Number of upcoming times in a schedule's record."""
_MADE_HERE: Final = "schedule"
"""The tag of deployments that were added here for a schedule."""


@dataclass(frozen=True)
class Timing:
    """When a schedule fires: ``cron`` (five fields), or every ``interval_s`` seconds."""

    cron: str | None
    interval_s: float | None
    timezone: str

    def next_times(self, now: datetime, anchor: datetime | None = None) -> Iterator[datetime]:
        """Yields the times after ``now`` at which Prefect fires it, in UTC."""
        last = now
        while times := [at for at in _prefect_times(self, last, anchor or now) if at > last]:
            yield from times
            last = times[-1]


@dataclass(frozen=True)
class ScheduleRecord:
    """A schedule as Prefect has it. ``parameters`` are those of the bulk flow.

    ``has_own_deployment``: it was added here. ``in_file``: it comes from ``prefect.yaml``, whose
    values are restored at each start.
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


def check_cron(cron: str) -> None:
    """Raises ValueError unless it is plain cron: five fields that Prefect and others understand."""
    refusal = "must be five fields: minute, hour, day, month, weekday, such as 0 2 * * *"
    if len(cron.split()) != _CRON_FIELDS:  # Prefect reads a sixth one as seconds
        raise ValueError(refusal)
    try:
        CronSchedule(cron=cron)
        next(CronSim(cron, datetime.now(UTC)))
    except (CronSimError, StopIteration, ValueError) as error:
        raise ValueError(refusal) from error


class Schedules:
    """Reads and writes schedules.

    Raises PrefectUnavailableError, DeploymentMissingError; a write also OtherStoreError.
    """

    def __init__(self, runs: FlowRuns) -> None:
        self._runs = runs

    async def all(self) -> tuple[ScheduleRecord, ...]:
        """Returns every schedule of the bulk flow, those of ``prefect.yaml`` too."""
        async with translated():
            deployments = await self._deployments()
        now = datetime.now(UTC)
        return tuple(
            _record(deployment, schedule, now)
            for deployment in deployments
            for schedule in deployment.schedules
            if isinstance(schedule.schedule, CronSchedule | IntervalSchedule)
        )

    async def get(self, schedule_id: UUID) -> ScheduleRecord:
        """Returns one schedule. Raises ScheduleNotFoundError."""
        for record in await self.all():
            if record.id == schedule_id:
                return record
        raise ScheduleNotFoundError(f"no schedule {schedule_id}")

    async def add(
        self, name: str, timing: Timing, parameters: dict[str, Any], *, active: bool
    ) -> ScheduleRecord:
        """Create a schedule that starts batches: a deployment of its own, like ``bulk/batch``."""
        await self._runs.confirm_owner()
        pattern = await self._pattern()
        wanted = DeploymentScheduleCreate(schedule=_prefect_schedule(timing), active=active)
        async with translated():
            made = await self._runs.client.create_deployment(
                flow_id=pattern.flow_id,
                name=await self._free_name(name),
                entrypoint=pattern.entrypoint,
                work_pool_name=pattern.work_pool_name,
                work_queue_name=pattern.work_queue_name,
                pull_steps=pattern.pull_steps,
                parameter_openapi_schema=pattern.parameter_openapi_schema,
                description="A schedule that was made through Easel.",
                tags=["easel", _MADE_HERE],
                parameters=parameters,
                schedules=[wanted],
            )
        [record] = [one for one in await self.all() if one.deployment_id == made]
        return record

    async def change(
        self,
        record: ScheduleRecord,
        *,
        timing: Timing | None = None,
        parameters: dict[str, Any] | None = None,
        active: bool | None = None,
    ) -> ScheduleRecord:
        """Change what is given. Raises ScheduleNotFoundError if the schedule was removed."""
        await self._runs.confirm_owner()
        client = self._runs.client
        try:
            async with translated():
                if parameters is not None:
                    await client.update_deployment(
                        record.deployment_id, DeploymentUpdate(parameters=parameters)
                    )
                await client.update_deployment_schedule(
                    record.deployment_id,
                    record.id,
                    active=active,
                    # Left out if unchanged: an interval would lose its anchor.
                    schedule=_prefect_schedule(timing) if timing is not None else None,
                )
        except ObjectNotFound as error:
            raise ScheduleNotFoundError(f"no schedule {record.id}") from error
        return await self.get(record.id)

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

    async def _pattern(self) -> DeploymentResponse:
        """Returns the deployment that new ones are copied from."""
        try:
            async with translated():
                return await self._runs.client.read_deployment_by_name(BATCH_DEPLOYMENT)
        except ObjectNotFound as error:
            raise DeploymentMissingError(BATCH_DEPLOYMENT) from error

    async def _free_name(self, name: str) -> str:
        """Returns a free deployment name. Schedules may share a name: later ones are numbered."""
        async with translated():
            taken = {one.name for one in await self._deployments()}
        names = (name if number == 1 else f"{name} ({number})" for number in range(1, 10_000))
        return next(one for one in names if one not in taken)

    async def _deployments(self) -> list[DeploymentResponse]:
        return await self._runs.client.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[BATCH_FLOW]))
        )


def _prefect_times(timing: Timing, start: datetime, anchor: datetime) -> list[datetime]:
    """Returns the next times from ``start`` on."""
    if timing.cron is not None:
        start += timedelta(seconds=1)
        return cron_times(timing.cron, timing.timezone, start, _TOGETHER)
    assert timing.interval_s is not None
    interval = timedelta(seconds=timing.interval_s)
    return interval_times(interval, timing.timezone, anchor, start, _TOGETHER)


def _prefect_schedule(timing: Timing) -> CronSchedule | IntervalSchedule:
    if timing.cron is not None:
        return CronSchedule(cron=timing.cron, timezone=timing.timezone)
    assert timing.interval_s is not None
    return IntervalSchedule(interval=timedelta(seconds=timing.interval_s), timezone=timing.timezone)


def _record(
    deployment: DeploymentResponse, schedule: DeploymentSchedule, now: datetime
) -> ScheduleRecord:
    timing, anchor = _timing(schedule)
    is_own = _MADE_HERE in deployment.tags
    is_active = schedule.active and not deployment.paused
    return ScheduleRecord(
        id=schedule.id,
        deployment_id=deployment.id,
        name=_name(deployment, schedule),
        timing=timing,
        active=is_active,
        parameters={**deployment.parameters, **schedule.parameters},
        next_times=_next_times(timing, now, anchor) if is_active else (),
        in_file=not is_own and schedule.slug is not None,
        has_own_deployment=is_own,
    )


def _name(deployment: DeploymentResponse, schedule: DeploymentSchedule) -> str:
    return deployment.name if _MADE_HERE in deployment.tags else schedule.slug or deployment.name


def _timing(schedule: DeploymentSchedule) -> tuple[Timing, datetime | None]:
    said = schedule.schedule
    zone = getattr(said, "timezone", None) or "UTC"
    if isinstance(said, CronSchedule):
        return Timing(said.cron, None, zone), None
    assert isinstance(said, IntervalSchedule)
    # Prefect's times are pendulum's, whose arithmetic refuses plain timedeltas.
    anchor = datetime.fromtimestamp(said.anchor_date.timestamp(), UTC)
    return Timing(None, said.interval.total_seconds(), zone), anchor


def _next_times(timing: Timing, now: datetime, anchor: datetime | None) -> tuple[datetime, ...]:
    return tuple(islice(timing.next_times(now, anchor), SCHEDULED_AHEAD))


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
        deployment = await client.read_deployment(run.deployment_id)
    made_by = (one for one in deployment.schedules if one.id == schedule_id)
    return next((_name(deployment, one) for one in made_by), None)


async def _scheduled(client: PrefectClient, deployment_id: UUID, after: datetime) -> list[FlowRun]:
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(
            after_=after + timedelta(milliseconds=1), before_=datetime.now(UTC)
        ),
    )
    return await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
        flow_run_filter=wanted,
    )


def _schedule_id(run: FlowRun) -> UUID | None:
    made_by = run.created_by
    return made_by.id if made_by is not None and made_by.type == "SCHEDULE" else None
