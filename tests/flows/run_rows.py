"""All that Prefect's database has of a flow run, to compare ways in which runs are made and led."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from tests.flows.prefect_server import Server

_EVENTS: Final = (
    "SELECT event_id FROM event_resources WHERE resource_id = :resource AND event_id NOT IN"
    " (SELECT id FROM events WHERE event IN"
    " ('prefect.flow-run.heartbeat', 'prefect.flow-run.Cancelling'))"
)
OF_RUN: Final = {
    "flow_run": "id = :run",
    "flow_run_state": "flow_run_id = :run",
    "task_run": "flow_run_id = :run",
    "task_run_state": "task_run_id IN (SELECT id FROM task_run WHERE flow_run_id = :run)",
    "artifact": "flow_run_id = :run",
    "log": "flow_run_id = :run",
    "events": f"id IN ({_EVENTS})",
    "event_resources": f"event_id IN ({_EVENTS})",
}
"""All that Prefect's database has of a flow run."""
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
_SHORT_ID: Final = re.compile(r"\b(build workflow|submit|poll|save)-[0-9a-f]{3}\b")
_TIMES: Final = frozenset({"total_run_time"})
_TRACE: Final = re.compile(r"\nTraceback .*", re.DOTALL)


def said(server: Server, run: UUID) -> dict[str, Counter[str]]:
    """All columns of all rows of a run, without ids, moments and durations."""
    values = {"run": str(run), "resource": f"prefect.flow-run.{run}"}
    found: dict[str, Counter[str]] = {}
    for table, where in OF_RUN.items():
        rows = server.rows(f"SELECT * FROM {table} WHERE {where}", values)
        found[table] = Counter(json.dumps(_plain(row), sort_keys=True, indent=1) for row in rows)
    return found


def _plain(value: Any) -> Any:
    """The value with what is in its JSON, which is in no order where Prefect keeps none."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if name not in _TIMES}
    if isinstance(value, list):
        return sorted((_plain(each) for each in value), key=repr)
    if not isinstance(value, str):
        return value
    with suppress(ValueError):
        read = json.loads(value)
        if isinstance(read, dict | list):
            return _plain(read)
    value = _MOMENT.sub("AT", _ID.sub("ID", value))
    value = _SHORT_ID.sub(r"\1-ABC", value)
    value = re.sub(r"start [\d.]+ second", "start SOME second", value)
    return _TRACE.sub("\nTRACEBACK", value)


async def settled(server: Server, run: UUID) -> dict[str, Counter[str]]:
    """Read until there is nothing new for a while: Prefect writes events in the background."""
    found = said(server, run)
    for _ in range(100):
        await asyncio.sleep(1.5)
        again = said(server, run)
        if again == found:
            return again
        found = again
    raise AssertionError("it does not come to rest")


def differences(plain: dict[str, Counter[str]], ours: dict[str, Counter[str]]) -> str:
    """What the one has and the other has not."""
    lines: list[str] = []
    for table in OF_RUN:
        lines += [
            f"{table}, only Prefect: {row} ×{n}" for row, n in (plain[table] - ours[table]).items()
        ]
        lines += [
            f"{table}, only ours: {row} ×{n}" for row, n in (ours[table] - plain[table]).items()
        ]
    return "\n".join(lines)
