"""Many rows, quickly: copies of one that the store wrote, with prompts of their own."""

from __future__ import annotations

import json
import random
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from store.search.index import as_terms, indexed_text

_SUBJECTS: Final = ("red foxes", "a kite", "an old lighthouse", "雪の中の狐", "Ölgemälde", "лисиця")
_WORDS: Final = 5_000
"""Different words besides; each prompt has twenty."""


def copy_rows(database: sqlite3.Connection, rows: int) -> None:
    """Make ``rows`` copies of the one finished generation in ``database`` and of its artefact."""
    for table, alive, order in (
        ("generations", "deleted_at IS NULL", "seq"),
        ("artefacts", "TRUE", "created_at"),
    ):
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        # The newest row: never a tombstone, which has no request.
        newest = f"SELECT * FROM {table} WHERE {alive} ORDER BY {order} DESC LIMIT 1"  # noqa: S608
        found = next(database.execute(newest))
        one = dict(zip(columns, found, strict=True))
        made = []
        terms = []
        for number in range(rows):
            row = dict(one)
            generation = uuid.uuid5(uuid.NAMESPACE_OID, str(number))
            row["id"] = generation.hex if table == "generations" else uuid.uuid4().hex
            if table == "generations":
                row |= {"seq": 10_000_000 - number, "prompt": prompt(number)}
                made_at = datetime.now(UTC) - timedelta(minutes=number)
                row["created_at"] = made_at.replace(tzinfo=None).isoformat(" ")
                request = json.loads(row["request"])
                request |= {"prompt": row["prompt"], "seed": number}
                row["request"] = json.dumps(request)
                terms.append((row["seq"], _terms(request)))
            else:
                row["generation_id"] = generation.hex
            made.append(tuple(row.values()))
        marks = ",".join("?" * len(columns))
        database.executemany(f"INSERT INTO {table} VALUES ({marks})", made)  # noqa: S608
        database.executemany("INSERT INTO search (rowid, terms) VALUES (?, ?)", terms)


def prompt(number: int) -> str:
    """Returns the prompt of row ``number``, the same each time."""
    chance = random.Random(number)  # noqa: S311 - nothing is secret here
    words = " ".join(f"word{chance.randrange(_WORDS)}" for _ in range(20))
    return f"picture number {number}: {chance.choice(_SUBJECTS)}, {words}"


def _terms(request: dict[str, Any]) -> str:
    fields = [str(request[name]) for name in ("prompt", "negative_prompt", "model", "seed")]
    return as_terms(indexed_text(fields), is_sqlite=True)
