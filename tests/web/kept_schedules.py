"""Schedules as Prefect keeps them, without Prefect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from nicegui.testing import User
from nicegui.testing.user_simulation import user_simulation

from api.context import Context
from api.schedules.facade import ScheduleFacade
from core.uploads import references_in
from flows.errors import PrefectUnavailableError, ScheduleNotFoundError
from flows.prefect.schedules import SCHEDULED_AHEAD, ScheduleRecord, Schedules, Timing
from web.app import declare
from web.parts.layout import Web
from web.parts.trash import Trash

NIGHTLY = ScheduleRecord(
    id=UUID(int=1),
    deployment_id=UUID(int=2),
    name="nightly",
    timing=Timing("0 2 * * *", None, "UTC"),
    active=False,
    parameters={
        "batch": {
            "name": "nightly animals",
            "grid": {"prompt": ["a {red|silver} fox, {dawn|dusk}", "an owl", "a heron", "a bear"]},
            "count": 2,
            "not_after": "07:00",
        }
    },
    next_times=(),
    in_file=True,
    has_own_deployment=False,
)
"""The one of ``prefect.yaml``."""


class KeptSchedules(Schedules):
    """Keeps them in memory; ``away`` is a Prefect that does not answer.

    ``held`` keeps back the next answer, with what was true when it was asked for.
    """

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.held: asyncio.Event | None = None
        self._records: dict[UUID, ScheduleRecord] = {}
        self.clear()

    def clear(self) -> None:
        self._records = {NIGHTLY.id: NIGHTLY}

    def put(self, record: ScheduleRecord) -> None:
        """Keep one as it is, as if it had been made in Prefect."""
        self._records[record.id] = record

    def is_on(self, schedule_id: UUID) -> bool:
        return self._records[schedule_id].active

    async def all(self) -> tuple[ScheduleRecord, ...]:
        if self.away:
            raise PrefectUnavailableError("nobody is there")
        records = tuple(self._records.values())
        held, self.held = self.held, None
        if held is not None:
            await held.wait()
        return records

    async def uploads(self) -> frozenset[str]:
        found = references_in([one.parameters for one in await self.all()])
        return frozenset(one.id for one in found if one.source == "upload")

    async def get(self, schedule_id: UUID) -> ScheduleRecord:
        for record in await self.all():
            if record.id == schedule_id:
                return record
        raise ScheduleNotFoundError(f"no schedule {schedule_id}")

    async def add(
        self, name: str, timing: Timing, parameters: dict[str, Any], *, active: bool
    ) -> ScheduleRecord:
        await self.all()
        return self._put(
            ScheduleRecord(
                id=uuid4(),
                deployment_id=uuid4(),
                name=name,
                timing=timing,
                active=active,
                parameters=parameters,
                next_times=(),
                in_file=False,
                has_own_deployment=True,
            )
        )

    async def change(
        self,
        record: ScheduleRecord,
        *,
        timing: Timing | None = None,
        parameters: dict[str, Any] | None = None,
        active: bool | None = None,
    ) -> ScheduleRecord:
        now = await self.get(record.id)
        return self._put(
            replace(
                now,
                timing=timing or now.timing,
                parameters=parameters if parameters is not None else now.parameters,
                active=now.active if active is None else active,
            )
        )

    async def remove(self, record: ScheduleRecord) -> None:
        await self.all()
        self._records.pop(record.id, None)

    def _put(self, record: ScheduleRecord) -> ScheduleRecord:
        times = islice(record.timing.next_times(datetime.now(UTC)), SCHEDULED_AHEAD)
        made = replace(record, next_times=tuple(times) if record.active else ())
        self._records[made.id] = made
        return made


@asynccontextmanager
async def visitor_of(context: Context, kept: Schedules) -> AsyncIterator[User]:
    """A visitor of pages whose schedules are these."""
    facade = ScheduleFacade(kept, context.batches, context.facade.links)
    with_schedules = replace(context, schedules=facade)
    async with user_simulation() as user:
        declare(Web(lambda: with_schedules, Trash(lambda: context.facade)))
        yield user
