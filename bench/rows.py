"""Many rows, quickly: copies of one that the store wrote."""

from __future__ import annotations

import json
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta


def copy_rows(database: sqlite3.Connection, rows: int) -> None:
    """Make ``rows`` copies of the one finished generation in ``database`` and of its image."""
    for table, alive, order in (
        ("generations", "deleted_at IS NULL", "seq"),
        ("images", "TRUE", "created_at"),
    ):
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        # The newest row: never a tombstone, which has no request.
        newest = f"SELECT * FROM {table} WHERE {alive} ORDER BY {order} DESC LIMIT 1"  # noqa: S608
        found = next(database.execute(newest))
        one = dict(zip(columns, found, strict=True))
        made = []
        for number in range(rows):
            row = dict(one)
            generation = uuid.uuid5(uuid.NAMESPACE_OID, str(number))
            row["id"] = generation.hex if table == "generations" else uuid.uuid4().hex
            if table == "generations":
                row |= {"seq": 10_000_000 - number, "prompt": f"picture number {number}"}
                made_at = datetime.now(UTC) - timedelta(minutes=number)
                row["created_at"] = made_at.replace(tzinfo=None).isoformat(" ")
                request = json.loads(row["request"])
                row["request"] = json.dumps({**request, "prompt": row["prompt"]})
            else:
                row["generation_id"] = generation.hex
            made.append(tuple(row.values()))
        marks = ",".join("?" * len(columns))
        database.executemany(f"INSERT INTO {table} VALUES ({marks})", made)  # noqa: S608
