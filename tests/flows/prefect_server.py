"""Easel's Prefect server as a process of its own, and its database file."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx

from flows.prefect.server import retention_environment
from tests.harness.databases import a_prefect_home
from tests.harness.processes import Process, environment, free_port
from tests.harness.waiting import wait_until

_OWN: Final = ("flows.prefect.server",)
_STOCK: Final = ("prefect", "server", "start", "--host", "127.0.0.1")
TABLES: Final = ("flow_run", "flow_run_state", "task_run", "task_run_state", "log", "artifact")


class Server:
    """Easel's Prefect server, or a stock one. ``cleans``: it looks each second for what is old."""

    def __init__(
        self,
        folder: Path,
        database: Path,
        *,
        stock: bool = False,
        cleans: bool = False,
        database_url: str | None = None,
    ) -> None:
        every_s = "1" if cleans else "3600"
        a_prefect_home(folder / "prefect", database)
        port = free_port()
        self.database_url = database_url
        """Of its database, if that is not the file."""
        self.file = folder / "prefect" / "prefect.db"
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api", trust_env=False, timeout=60
        )
        self.process = Process(
            "prefect",
            [sys.executable, "-m", *(_STOCK if stock else _OWN), "--port", str(port)],
            environment(
                PREFECT_HOME=str(folder / "prefect"),
                PREFECT_SERVER_ANALYTICS_ENABLED="false",
                **({"PREFECT_API_DATABASE_CONNECTION_URL": database_url} if database_url else {}),
                PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS=every_s,
                PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS=every_s,
                **retention_environment(runs_days=7, events_days=1),
            ),
            folder,
        )

    def answers(self) -> bool:
        try:
            return self.http.get("/health").is_success
        except httpx.HTTPError:
            return False

    def send(self, method: str, path: str, body: object = None) -> httpx.Response:
        """The answer of a server that was not busy.

        A stock one is (503) when two transactions meet; Prefect's client asks again too.
        """
        for _ in range(50):
            answer = self.http.request(method, path, json=body)
            if answer.status_code != 503:
                break
            time.sleep(0.2)
        assert answer.is_success, answer.text
        return answer

    def post(self, path: str, **body: object) -> str:
        answer = self.send("POST", path, body)
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

    def select(self, statement: str, *values: str) -> list[tuple[object, ...]]:
        """Read from its database, past it."""
        with closing(sqlite3.connect(self.file, timeout=20)) as database:
            return database.execute(statement, values).fetchall()

    def rows(self, statement: str, values: dict[str, str]) -> list[dict[str, Any]]:
        """As ``select``, each row by its columns' names."""
        with closing(sqlite3.connect(self.file, timeout=20)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(statement, values)]

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


@contextmanager
def started(server: Server, *, within: float = 100) -> Iterator[Server]:
    """The server, from when it answers until it is killed; ``within`` so many seconds."""
    try:
        server.process.start()
        wait_until(server.answers, server.process.tail, within=within)
        yield server
    finally:
        server.http.close()
        server.process.kill()
