"""The Prefect server that Easel starts for itself, set up for many small runs on SQLite.

Run as ``python -m flows.prefect.server --port 4200``. Everything here is about Prefect 3.9.1,
which is pinned; ``tests/flows/test_server.py`` fails when Prefect changes under it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from core import gc_tuning

if TYPE_CHECKING:
    from prefect.server.events.schemas.events import ReceivedEvent
    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

_DAY_S: Final = 86_400
SERVER_ENVIRONMENT: Final[Mapping[str, str]] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The recorder's default batch of 1 falls behind at 5 runs/s and loses task runs.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    # Its default of 5 s: five times as many at once hold up everything else for half a second.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "100",
    # A generation that waits for the GPU is not late; without this, runs turn "Late" after 15 s.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    # In-memory leases (the default) are lost with a restart, and their slots stay taken.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # A newcomer should see the runs, not a dialogue about them.
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
}
"""What Easel's Prefect server is started with, unless the environment says otherwise."""


def retention_environment(runs_days: float, events_days: float) -> dict[str, str]:
    """Have Prefect's server remove ended flow runs (with task runs, logs, artifacts) and events.

    Runs are as old as their end; Prefect wants their days to be more than an hour. Runs that have
    not ended stay. It looks each hour, and at its start.
    """
    runs_s, events_s = (math.ceil(days * _DAY_S) for days in (runs_days, events_days))
    return {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "flow_runs,orphans,events",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(runs_s),
        # Unlike the other one, it is not read as a number of seconds.
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"PT{events_s}S",
    }


def begin_immediate() -> None:
    """Let every SQLite write transaction of the Prefect server begin IMMEDIATE.

    Prefect begins them DEFERRED: when two have read and both want to write, SQLite fails the
    second at once, whatever its busy timeout is, and the server answers 503. Measured on 3.9.1:
    of 150 creates, 16 at a time, 7 succeed at the first try with DEFERRED, all 150 with IMMEDIATE.
    The configuration has a switch for it (``with_for_update``); here it is always on.
    """
    from prefect.server.database.configurations import AioSqliteConfiguration

    original = AioSqliteConfiguration.begin_transaction

    @asynccontextmanager
    async def always_immediate(
        self: AioSqliteConfiguration,
        session: AsyncSession,
        with_for_update: bool = False,  # noqa: ARG001 - always on is the point
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        async with original(self, session, with_for_update=True) as transaction:
            yield transaction

    AioSqliteConfiguration.begin_transaction = always_immediate  # type: ignore[method-assign]


def forgive_resent_events() -> None:
    """Let events that come twice, or after their flow run was deleted, harm no others.

    After each restart of the server its clients send their latest events again. Prefect 3.9.1
    writes them many at a time, and on SQLite one task run of a deleted flow run (FOREIGN KEY), or a
    batch of nothing but known events (an INSERT without values), fails the whole batch: it is
    tried again some times, and then up to a hundred task runs are dropped, of other runs too.

    The events themselves are written as Prefect does on PostgreSQL, one statement for all rows. Its
    way on SQLite is an INSERT of many VALUES, seven events at a time, that is compiled anew each
    time: measured, a tenth of what the server does for a generation.
    """
    import sqlalchemy as sa
    from prefect.server.database import provide_database_interface
    from prefect.server.events.storage import database as storage
    from prefect.server.services import task_run_recorder

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
        # Prefect opens this session without a transaction: each row would be one of its own.
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


def check_each_schema_once() -> None:
    """Check a JSON schema when it is seen for the first time, not at each flow run.

    Creating a flow run checks its parameters against the deployment's schema, and jsonschema first
    checks the schema itself against the standard's: measured on 3.9.1, half of a create's time.
    """
    from prefect.utilities.schema_tools import validation

    validator = validation._VALIDATOR  # noqa: SLF001
    check = validator.check_schema

    @lru_cache(maxsize=64)
    def check_once(schema: str) -> None:
        check(json.loads(schema), format_checker=validator.FORMAT_CHECKER)

    def check_schema(schema: Any, format_checker: Any = None) -> None:  # noqa: ARG001
        check_once(json.dumps(schema))

    validator.check_schema = check_schema


def _flow_run_of(event: ReceivedEvent) -> UUID | None:
    resource = event.resource_in_role.get("flow-run")
    return resource.prefect_object_id("prefect.flow-run") if resource else None


def create_app() -> Any:
    """The Prefect server with its UI, as an ASGI application."""
    begin_immediate()
    forgive_resent_events()
    check_each_schema_once()
    from prefect.server.api.server import create_app as create_prefect_app

    return _settling(create_prefect_app(final=True))


def _settling(app: Any) -> Any:
    """The application, whose process settles once it has started."""

    async def settling(scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                gc_tuning.started()
            await send(message)

        await app(scope, receive, told if scope["type"] == "lifespan" else send)

    return settling


def _telling(app: Any) -> Any:
    """The application, printing each request (Prefect's own set-up silences uvicorn's log)."""

    async def telling(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            print("request", scope["method"], scope["path"], flush=True)
        await app(scope, receive, send)

    return telling


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    gc_tuning.starting()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--tell", action="store_true", help="print a line for each request")
    arguments = parser.parse_args()
    for name, value in SERVER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # The UI in the browser asks for the API by a path, so that any host name works.
    os.environ.setdefault("PREFECT_UI_API_URL", "/api")
    os.environ.setdefault("PREFECT_API_URL", f"http://{arguments.host}:{arguments.port}/api")
    import uvicorn

    app = create_app()
    uvicorn.run(
        _telling(app) if arguments.tell else app,
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=60,
        ws_per_message_deflate=False,  # every event goes through it twice, on this machine
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
