"""Changes to Prefect's server, made in Easel's own server process before the server starts.

Imported there only: it loads the whole of the server.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, cast
from uuid import UUID

import sqlalchemy as sa
from prefect.server.api.server import create_app
from prefect.server.database import provide_database_interface
from prefect.server.database.configurations import SQLITE_BEGIN_MODE, AioSqliteConfiguration
from prefect.server.events import triggers
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.events.storage import database as storage
from prefect.server.schemas import schedules
from prefect.server.services import task_run_recorder
from prefect.server.utilities.database import Pydantic
from prefect.utilities.schema_tools import validation
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

TIDY_AUTOMATIONS_S: Final = 30.0
"""Seconds between two rounds of Prefect's upkeep of automations."""


def prefect_server() -> Any:
    """Returns the Prefect server with its UI, as an ASGI application."""
    return create_app(final=True)


def begin_immediate() -> None:
    """Let every SQLite write transaction of the Prefect server begin IMMEDIATE.

    Prefect begins them DEFERRED: when two have read and both want to write, SQLite fails the
    second at once, whatever its busy timeout is, and the server answers 503. Measured on 3.9.1:
    of 150 creates, 16 at a time, 7 succeed at the first try with DEFERRED, all 150 with IMMEDIATE.
    Prefect has an argument for it (``with_for_update``); here it is always true.

    The mode is a context variable. A session that is opened inside the transaction, such as the
    one that reads what the event of a paused work queue is about, must not inherit IMMEDIATE: it
    would wait for its own transaction until SQLite's busy timeout (60 s).
    """
    original = AioSqliteConfiguration.begin_transaction

    @asynccontextmanager
    async def always_immediate(
        self: AioSqliteConfiguration,
        session: AsyncSession,
        with_for_update: bool = False,  # noqa: ARG001 - always on is the point
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        async with original(self, session, with_for_update=True) as transaction:
            await session.connection()  # it begins here, not with the first statement
            mode = SQLITE_BEGIN_MODE.set("DEFERRED")
            try:
                yield transaction
            finally:
                SQLITE_BEGIN_MODE.reset(mode)

    AioSqliteConfiguration.begin_transaction = always_immediate  # type: ignore[method-assign]


def forgive_resent_events() -> None:
    """Keep events that come twice, or after their flow run was deleted, from failing others.

    After each restart of the server its clients resend their latest events. Prefect 3.9.1 writes
    events in batches. On SQLite one task run of a deleted flow run (FOREIGN KEY), or a batch of
    known events only (an INSERT without values), fails the whole batch: after some retries up to
    a hundred task runs are dropped, of other flow runs too.

    The events themselves are written as Prefect does on PostgreSQL, one statement for all rows. On
    SQLite it uses an INSERT of many VALUES, seven events at a time, compiled anew each time:
    measured, a tenth of the server's work for a generation.
    """
    record = task_run_recorder.record_bulk_task_run_events

    async def record_what_has_a_run(events: list[ReceivedEvent]) -> None:
        runs = {event.id: _flow_run_of(event) for event in events}
        wanted = {run for run in runs.values() if run is not None}
        db = provide_database_interface()
        async with db.session_context() as session:
            there = set(
                await session.scalars(sa.select(db.FlowRun.id).where(db.FlowRun.id.in_(wanted)))
            )
        await record([event for event in events if runs[event.id] in {None, *there}])

    async def write_what_is_new(session: AsyncSession, events: list[ReceivedEvent]) -> None:
        fresh = {event.id: event for event in events}
        db = provide_database_interface()
        for known in await session.scalars(sa.select(db.Event.id).where(db.Event.id.in_(fresh))):
            del fresh[known]
        if not fresh:
            return
        # Prefect opens this session without a transaction: each row would commit by itself.
        await (await session.connection()).exec_driver_sql("BEGIN IMMEDIATE")
        events = list(fresh.values())
        for table, rows in (
            (db.Event, [event.as_database_row() for event in events]),
            (db.EventResource, [row for one in events for row in one.as_database_resource_rows()]),
        ):
            insert = db.queries.insert(table).execution_options(dml_strategy="raw")
            await session.execute(insert, rows)

    task_run_recorder.record_bulk_task_run_events = record_what_has_a_run
    storage._write_sqlite_events = write_what_is_new  # noqa: SLF001


def read_any_stored_schedule() -> None:
    """Read a stored schedule also where it is not (or no longer) valid.

    A time zone that the machine's data does not have any more, or a value of another version, is
    enough: Prefect 3.9.1 then answers 500 to every request that reads the deployment, lists of
    deployments included, so that the schedule cannot be removed either. Here it is read as a rule
    that says what is stored, and never comes: the scheduler logs an error for it.
    """
    read, of_schedules = Pydantic.process_result_value, cast("Any", schedules.SCHEDULE_TYPES)

    def read_any(self: Any, value: Any, dialect: sa.Dialect) -> Any:
        try:
            return read(self, value, dialect)
        except ValidationError:
            if self._pydantic_type is not of_schedules:
                raise
            # Of the three kinds, this one is not validated again when it is answered.
            return schedules.RRuleSchedule.model_construct(rrule=json.dumps(value), timezone="UTC")

    Pydantic.process_result_value = read_any  # type: ignore[method-assign]


def check_each_schema_once() -> None:
    """Check a JSON schema the first time only, not at each flow run.

    Creating a flow run checks its parameters against the deployment's schema, and jsonschema first
    checks that schema against its meta-schema: measured on 3.9.1, half of the time of a create.
    """
    validator = validation._VALIDATOR  # noqa: SLF001
    check = validator.check_schema

    @lru_cache(maxsize=64)
    def check_once(schema: str) -> None:
        check(json.loads(schema), format_checker=validator.FORMAT_CHECKER)

    def check_schema(schema: Any, format_checker: Any = None) -> None:  # noqa: ARG001
        check_once(json.dumps(schema))

    validator.check_schema = check_schema


def tidy_automations_less_often() -> None:
    """Let Prefect's upkeep of automations come round each 30 s instead of each 5 s.

    It deletes what has lapsed, acts on events whose predecessor never came, and reads automations
    again that another server has changed: three transactions, with or without any automation. An
    event, and a change by this server's own API, are heeded at once as before; what waits for an
    event has a period of its own. Prefect 3.9.1 has no setting for it.
    """
    evaluate = triggers.evaluate_periodically

    async def evaluate_seldom(periodic_granularity: timedelta) -> None:
        await evaluate(max(periodic_granularity, timedelta(seconds=TIDY_AUTOMATIONS_S)))

    triggers.evaluate_periodically = evaluate_seldom


def _flow_run_of(event: ReceivedEvent) -> UUID | None:
    resource = event.resource_in_role.get("flow-run")
    return resource.prefect_object_id("prefect.flow-run") if resource else None
