"""What Easel does to Prefect's server still fits the Prefect that is installed."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from prefect.server.database.configurations import ENGINES, AioSqliteConfiguration
from prefect.settings import get_current_settings
from prefect.utilities.schema_tools import validation
from sqlalchemy import text

from flows.prefect.server import SERVER_ENVIRONMENT, begin_immediate, check_each_schema_once

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
    begin_immediate()
    assert await _locks_others_out(configured)


def test_the_writers_of_events_are_where_they_are_replaced() -> None:
    from prefect.server.events.storage import database as storage
    from prefect.server.services import task_run_recorder

    bulk = inspect.signature(task_run_recorder.record_bulk_task_run_events)
    assert list(bulk.parameters) == ["events"]
    # Both are looked up by their names in the module when they are called.
    consumer = inspect.getsource(task_run_recorder.consumer)
    assert "await record_bulk_task_run_events(" in consumer
    assert "await _write_sqlite_events(session, events)" in inspect.getsource(storage.write_events)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The schemas that were checked by jsonschema itself."""
    checked: list[Any] = []
    original = validation._VALIDATOR.check_schema

    def check_schema(schema: Any, **kwargs: Any) -> None:
        checked.append(schema)
        original(schema, **kwargs)

    monkeypatch.setattr(validation._VALIDATOR, "check_schema", check_schema)
    check_each_schema_once()
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


def test_every_setting_of_the_server_exists_in_this_prefect() -> None:
    known = get_current_settings().to_environment_variables(include_secrets=True)
    every = set(known) | _names()
    ours = {name for name in SERVER_ENVIRONMENT if name.startswith("PREFECT_")}
    assert ours <= every, ours - every


def _names() -> set[str]:
    from prefect.settings import Settings
    from prefect.settings.legacy import _get_settings_fields

    return {name for name in _get_settings_fields(Settings) if name.startswith("PREFECT_")}


def test_the_settings_have_their_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import Settings

    for name, value in SERVER_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    server = Settings().server
    assert server.services.task_run_recorder.batch_size == 100
    assert server.services.event_persister.batch_size == 200
    assert server.services.late_runs.enabled is False
    assert server.analytics_enabled is False
    assert server.ui.show_promotional_content is False
    assert import_module(server.concurrency.lease_storage).ConcurrencyLeaseStorage
