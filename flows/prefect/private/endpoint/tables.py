"""Prefect's tables, to write many rows at a time.

They have Prefect's own columns. Their JSON is encoded once: Prefect's types validate and encode
each value up to three times, measured as a third of what writing a run costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from prefect.server.database import PrefectDBInterface, provide_database_interface
from prefect.server.utilities.database import JSON, Pydantic
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

Row = dict[str, Any]
_JSON: Final = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True), "postgresql"
)


def database() -> PrefectDBInterface:
    """Returns the database of this server."""
    return provide_database_interface()


@dataclass
class Rows:
    """What a transaction is to write, by table, in the order in which it is written.

    The rows of a table must have the same columns, but for those of ``run_changes``.
    """

    flow_run: list[Row] = field(default_factory=list)
    flow_run_state: list[Row] = field(default_factory=list)
    run_changes: list[Row] = field(default_factory=list)
    """Changes to flow runs by their ``id_``, when their states are there to refer to."""
    task_run: list[Row] = field(default_factory=list)
    task_run_state: list[Row] = field(default_factory=list)
    artifact: list[Row] = field(default_factory=list)
    log: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    event_resources: list[Row] = field(default_factory=list)

    def add(self, others: Rows) -> None:
        """Add the rows of others."""
        for one in fields(self):
            getattr(self, one.name).extend(getattr(others, one.name))


async def write(connection: AsyncConnection, rows: Rows) -> None:
    """Write all the rows."""
    statements = _statements(connection.dialect.name)
    for one in fields(rows):
        of_table: list[Row] = getattr(rows, one.name)
        for alike in _alike(of_table):
            await connection.execute(statements[one.name], alike)


def _alike(rows: Sequence[Row]) -> list[list[Row]]:
    """Group rows with the same columns: one statement has one list of them."""
    groups: dict[frozenset[str], list[Row]] = {}
    for row in rows:
        groups.setdefault(frozenset(row), []).append(row)
    return list(groups.values())


@cache
def _statements(dialect: str) -> dict[str, Any]:
    insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
    tables = {one.name: lean_table(one.name) for one in fields(Rows) if one.name != "run_changes"}
    runs = tables["flow_run"]
    return {
        **{name: insert(table) for name, table in tables.items()},
        "run_changes": sa.update(runs).where(runs.c.id == sa.bindparam("id_")),
        "task_run": _upsert(insert, tables["task_run"], _CHANGING_OF_TASKS),
        "task_run_state": insert(tables["task_run_state"]).on_conflict_do_nothing(
            index_elements=["id"]
        ),
        "artifact": _upsert(insert, tables["artifact"], ("data", "updated")),
    }


_CHANGING_OF_TASKS: Final = (
    *("state_id", "state_type", "state_name", "state_timestamp", "run_count", "updated"),
    *("start_time", "end_time", "total_run_time"),
)


def _upsert(insert: Any, table: sa.Table, changing: Sequence[str]) -> Any:
    statement = insert(table)
    return statement.on_conflict_do_update(
        index_elements=["id"], set_={name: statement.excluded[name] for name in changing}
    )


@cache
def lean_table(name: str) -> sa.Table:
    """Returns Prefect's table of that name."""
    db = database()
    table = db.FlowRun.metadata.tables[name]
    columns = [
        sa.Column(one.name, _lean(one.type), primary_key=one.primary_key) for one in table.columns
    ]
    return sa.Table(name, sa.MetaData(), *columns)


def _lean(of_prefect: Any) -> Any:
    return _JSON if isinstance(of_prefect, JSON | Pydantic) else of_prefect
