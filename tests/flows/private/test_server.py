"""The changes to Prefect's server do what they are for.

Events that come twice are written once: ``tests/flows/test_server_events.py``.
"""

from __future__ import annotations

import inspect
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.server.database.configurations import ENGINES, AioSqliteConfiguration
from prefect.server.events import triggers
from prefect.server.schemas import schedules
from prefect.server.utilities.database import Pydantic
from prefect.utilities.schema_tools import validation
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from flows.prefect.private import server as private
from tests.flows.prefect_server import Server
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

Configured = tuple[AioSqliteConfiguration, Path]


@pytest.fixture
async def configured(tmp_path: Path) -> AsyncIterator[Configured]:
    file = tmp_path / "prefect.db"
    configuration = AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{file}")
    known = set(ENGINES)
    yield configuration, file
    for key in set(ENGINES) - known:
        await ENGINES.pop(key).dispose()


async def _locks_others_out(configured: Configured) -> bool:
    """Whether a transaction that has only begun already holds the write lock."""
    configuration, file = configured
    session = await configuration.session(await configuration.engine())
    async with session, configuration.begin_transaction(session):
        await session.execute(text("SELECT 1"))
        with closing(sqlite3.connect(file, timeout=0)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                return "locked" in str(error)
            return False


async def test_prefect_itself_begins_deferred(configured: Configured) -> None:
    # The day this fails, `begin_immediate` may not be needed any more.
    assert not await _locks_others_out(configured)


async def test_with_begin_immediate_every_transaction_is_a_writer_from_its_start(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = AioSqliteConfiguration.begin_transaction
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", original)  # put back after
    private.begin_immediate()
    assert await _locks_others_out(configured)


async def test_a_session_inside_a_transaction_reads_without_waiting_for_it(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Prefect's event of a paused work queue does, inside the transaction that pauses it."""
    original = AioSqliteConfiguration.begin_transaction
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", original)  # put back after
    private.begin_immediate()
    configuration, _ = configured
    engine = await configuration.engine()
    async with await configuration.session(engine) as outer:
        async with configuration.begin_transaction(outer):
            await outer.execute(text("CREATE TABLE kept (value INTEGER)"))
            await outer.execute(text("INSERT INTO kept VALUES (1)"))
            async with await configuration.session(engine) as inner:
                await inner.execute(text("PRAGMA busy_timeout = 1"))
                tables = await inner.execute(text("SELECT name FROM sqlite_master"))
                assert not tables.all()
        assert (await outer.scalars(text("SELECT value FROM kept"))).all() == [1]


def test_task_runs_are_kept_though_one_of_a_deleted_flow_run_comes_with_them(
    server: Server,
) -> None:
    flow = server.post("/flows/", name="generate")
    there, gone = (server.post("/flow_runs/", flow_id=flow) for _ in range(2))
    assert server.http.delete(f"/flow_runs/{gone}").is_success
    events = [_task_run_event(gone if number % 5 == 0 else there) for number in range(20)]
    assert server.http.post("/events", json=events).is_success

    def kept(flow_run: str) -> list[tuple[object, ...]]:
        of = "SELECT id FROM task_run WHERE flow_run_id = ?"
        return server.select(of, str(UUID(flow_run)))

    wait_until(lambda: len(kept(there)) == 16, server.process.tail)
    assert kept(gone) == []


def _task_run_event(flow_run: str) -> dict[str, object]:
    task_run = str(uuid4())
    return {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "prefect.task-run.Completed",
        "resource": {
            "prefect.resource.id": f"prefect.task-run.{task_run}",
            "prefect.orchestration": "client",
        },
        "related": [
            {
                "prefect.resource.id": f"prefect.flow-run.{flow_run}",
                "prefect.resource.role": "flow-run",
            }
        ],
        "payload": {
            "task_run": {"task_key": "save", "dynamic_key": task_run, "name": "save"},
            "validated_state": {"type": "COMPLETED", "name": "Completed"},
        },
    }


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The schemas that were checked by jsonschema itself."""
    checked: list[Any] = []
    original = validation._VALIDATOR.check_schema

    def check_schema(schema: Any, **kwargs: Any) -> None:
        checked.append(schema)
        original(schema, **kwargs)

    monkeypatch.setattr(validation._VALIDATOR, "check_schema", check_schema)
    private.check_each_schema_once()
    return checked


def test_a_schema_is_checked_once_and_every_value_against_it(checks: list[Any]) -> None:
    schema = {"type": "object", "properties": {"steps": {"type": "integer"}}}
    for _ in range(3):
        assert validation.validate({"steps": 20}, schema, raise_on_error=True) == []
        with pytest.raises(validation.ValidationError, match="steps"):
            validation.validate({"steps": "many"}, schema, raise_on_error=True)
        validation.is_valid_schema(schema)

    assert len(checks) == 1


def test_a_schema_that_is_wrong_is_refused_each_time(checks: list[Any]) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="Invalid schema"):
            validation.is_valid_schema({"type": 3})

    assert len(checks) == 2


def test_a_stored_schedule_that_is_not_valid_is_read_as_a_rule_that_says_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Pydantic.process_result_value
    monkeypatch.setattr(Pydantic, "process_result_value", read)  # put back after
    column: Any = Pydantic(schedules.SCHEDULE_TYPES)
    dialect = sqlite.dialect()
    gone = {"cron": "0 2 * * *", "timezone": "US/Atlantis"}
    with pytest.raises(ValidationError):
        column.process_result_value(gone, dialect)
    private.read_any_stored_schedule()

    kept = column.process_result_value(gone, dialect)
    assert isinstance(kept, schedules.RRuleSchedule)
    assert json.loads(kept.rrule) == gone
    answered = TypeAdapter[Any](schedules.SCHEDULE_TYPES).validate_python(kept)
    assert answered is kept
    valid = column.process_result_value({"cron": "0 2 * * *", "timezone": "UTC"}, dialect)
    assert isinstance(valid, schedules.CronSchedule)
    with pytest.raises(ValidationError):  # of other columns nothing changes
        Pydantic(schedules.CronSchedule).process_result_value(gone, dialect)


async def test_automations_are_tidied_each_30_s(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[timedelta] = []

    async def evaluate(periodic_granularity: timedelta) -> None:
        asked.append(periodic_granularity)

    # Prefect's service asks for it by this name, with 5 s.
    assert "evaluate_periodically" in inspect.unwrap(triggers.consumer).__code__.co_names
    monkeypatch.setattr(triggers, "evaluate_periodically", evaluate)
    private.tidy_automations_less_often()

    for wanted_s in (5, 90):
        await triggers.evaluate_periodically(timedelta(seconds=wanted_s))
    assert asked == [timedelta(seconds=30), timedelta(seconds=90)]
