"""Prefect's server removes what is old: with the settings that Easel gives it, on its real loop."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.settings import Settings

from flows.server import retention_environment
from tests.harness.processes import Process, environment, free_port
from tests.harness.waiting import wait_until

DAY = timedelta(days=1)
TABLES = ("flow_run", "flow_run_state", "task_run", "task_run_state", "log", "artifact")


class Server:
    """Easel's Prefect server, looking each second for what is old."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.file = folder / "prefect" / "prefect.db"
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api", trust_env=False)
        self.process = Process(
            "prefect",
            [sys.executable, "-m", "flows.server", "--port", str(port)],
            environment(
                PREFECT_HOME=str(folder / "prefect"),
                PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS="1",
                **retention_environment(runs_days=7, events_days=1),
            ),
            folder,
        )

    def answers(self) -> bool:
        try:
            return self.http.get("/health").is_success
        except httpx.HTTPError:
            return False

    def post(self, path: str, **body: object) -> str:
        answer = self.http.post(path, json=body)
        assert answer.is_success, answer.text
        return str(answer.json()["id"]) if "id" in answer.json() else ""

    def a_run(self, flow: str, *states: str) -> str:
        """A flow run with a task run, a log and an artifact, brought to the last of the states."""
        run = self.post("/flow_runs/", flow_id=flow, state={"type": "PENDING"})
        task = self.post("/task_runs/", flow_run_id=run, task_key="save", dynamic_key="0")
        self.post("/artifacts/", flow_run_id=run, task_run_id=task, key=f"a-{run}", data="x")
        now = datetime.now(UTC).isoformat()
        line = {"name": "easel", "level": 20, "message": "kept", "timestamp": now}
        assert self.http.post("/logs/", json=[{**line, "flow_run_id": run}]).is_success
        for state in states:
            self.post(f"/flow_runs/{run}/set_state", state={"type": state}, force=True)
        return run

    def execute(self, statement: str, *values: str) -> int:
        """Write to its database, past it; how many rows were changed."""
        with closing(sqlite3.connect(self.file, timeout=20)) as database:
            changed = database.execute(statement, values).rowcount
            database.commit()
            return changed

    def age(self, run: str, by: timedelta) -> None:
        """Let the run have started, and ended if it has, so long ago."""
        then = f"{datetime.now(UTC) - by:%Y-%m-%d %H:%M:%S.%f}"
        statement = (
            "UPDATE flow_run SET start_time = ?1, created = ?1, "
            "end_time = CASE WHEN end_time IS NULL THEN NULL ELSE ?1 END WHERE id = ?2"
        )
        assert self.execute(statement, then, str(UUID(run))) == 1

    def rows_of(self, run: str) -> dict[str, int]:
        """How much each table has of a run."""
        task = "SELECT id FROM task_run WHERE flow_run_id = ?1"
        of = {
            "flow_run": "id = ?1",
            "flow_run_state": "flow_run_id = ?1",
            "task_run": "flow_run_id = ?1",
            "task_run_state": f"task_run_id IN ({task})",
            "log": "flow_run_id = ?1",
            "artifact": "flow_run_id = ?1",
        }
        with closing(sqlite3.connect(self.file, timeout=20)) as database:
            return {
                table: database.execute(
                    f"SELECT count(*) FROM {table} WHERE {of[table]}", [str(UUID(run))]
                ).fetchone()[0]
                for table in TABLES
            }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    try:
        server.process.start()
        wait_until(server.answers, server.process.tail, within=100)
        yield server
    finally:
        server.http.close()
        server.process.kill()


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
