"""Prefect's server removes what is old: with the settings that Easel gives it, on its real loop."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.settings import Settings

from flows.prefect.server import retention_environment
from tests.flows.prefect_server import Server, started
from tests.harness.waiting import wait_until

DAY = timedelta(days=1)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[Server]:
    """One that cleans: it writes each second, which others would wait for."""
    folder = tmp_path_factory.mktemp("cleaning")
    with started(Server(folder, prefect_database, cleans=True)) as server:
        yield server


def test_an_old_run_goes_with_all_that_was_its_and_others_stay(server: Server) -> None:
    flow = server.post("/flows/", name="generate")
    old = server.a_run(flow, "RUNNING", "COMPLETED")
    failed = server.a_run(flow, "RUNNING", "FAILED")
    young = server.a_run(flow, "RUNNING", "COMPLETED")
    runs_still = server.a_run(flow, "RUNNING")
    waits_still = server.a_run(flow)
    wait_until(lambda: server.rows_of(waits_still)["log"] == 1, "the log")
    for run in (old, failed, young, runs_still, waits_still):
        assert server.rows_of(run)["task_run"] == server.rows_of(run)["artifact"] == 1
    kept = {run: server.rows_of(run) for run in (young, runs_still, waits_still)}

    server.age(young, 6 * DAY)
    for run in (runs_still, waits_still):
        server.age(run, 60 * DAY)
    for run in (old, failed):
        server.age(run, 8 * DAY)

    for run in (old, failed):
        wait_until(lambda run=run: not any(server.rows_of(run).values()), run)  # type: ignore[misc]
        assert server.http.get(f"/flow_runs/{run}").status_code == 404
    assert {run: server.rows_of(run) for run in kept} == kept


def test_log_lines_that_come_after_their_run_was_deleted_go(server: Server) -> None:
    """Prefect keeps lines of any run, and removes those of a deleted one once, at its deletion."""
    there = server.a_run(server.post("/flows/", name="generate"), "RUNNING")
    deleted, now = str(uuid4()), datetime.now(UTC).isoformat()
    line = {"name": "easel", "level": 20, "message": "late", "timestamp": now}
    lines = [{**line, "flow_run_id": run} for run in (deleted, there)]
    before = server.rows_of(there)["log"]

    assert server.http.post("/logs/", json=lines).is_success

    wait_until(lambda: server.rows_of(there)["log"] == before + 1, "the line of the run that is")
    wait_until(lambda: not server.rows_of(deleted)["log"], "the other one to go")


def test_old_events_go_and_young_ones_stay(server: Server) -> None:
    def an_event(age: timedelta) -> str:
        event = str(uuid4())
        resource = {"prefect.resource.id": f"easel.test.{event}"}
        occurred = (datetime.now(UTC) - age).isoformat()
        body = {"id": event, "occurred": occurred, "event": "easel.test", "resource": resource}
        assert server.http.post("/events", json=[body]).is_success
        return event

    def there(event: str) -> bool:
        with closing(sqlite3.connect(server.file, timeout=20)) as database:
            found = database.execute("SELECT count(*) FROM events WHERE id = ?", [event])
            return bool(found.fetchone()[0])

    event, young = an_event(timedelta()), an_event(timedelta())
    wait_until(lambda: there(event) and there(young), "both events")
    then = f"{datetime.now(UTC) - 2 * DAY:%Y-%m-%d %H:%M:%S.%f}"
    assert server.execute("UPDATE events SET occurred = ? WHERE id = ?", then, event) == 1

    wait_until(lambda: not there(event), "the old event to go")
    assert there(young)


@pytest.mark.parametrize("runs_days", [7, 0.5, 1 / 24 + 1e-9, 3650])
def test_the_periods_are_what_prefect_reads(
    monkeypatch: pytest.MonkeyPatch, runs_days: float
) -> None:
    for name, value in retention_environment(runs_days, events_days=0.25).items():
        monkeypatch.setenv(name, value)

    server = Settings().server

    vacuum = server.services.db_vacuum
    assert vacuum.enabled_vacuum_types == {"flow_runs", "orphans", "events"}
    assert vacuum.retention_period.total_seconds() == pytest.approx(runs_days * 86_400, abs=1)
    assert server.events.retention_period == timedelta(hours=6)
