"""A runner of the outbox in a process of its own, which claims an entry and never ends it.

``python -m tests.store.outbox_work URL NAME LEASE_S`` prints a line when it has an entry.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from store.database import Database
from store.leases import Leases
from store.outbox import Outbox, put
from store.outbox_runner import Handler, OutboxRunner, Outcome
from store.store import Store
from store.values import Entry, NewEntry
from tests.harness.transactions import open_write

KIND: Final = "test.work"
LANE: Final = "test a"


async def write(store: Store, count: int = 1, **fields: Any) -> list[UUID]:
    """Entries, each about a subject of its own unless one is given; the subjects."""
    entries = [
        NewEntry(
            **{
                "lane": LANE,
                "kind": KIND,
                "subject": uuid.uuid4(),
                "payload": {"number": number},
                "rank": 0,
                "created_at": datetime.now(UTC),
                **fields,
            }
        )
        for number in range(count)
    ]
    async with open_write(store.database) as connection:
        await connection.run_sync(put, entries)
    return [entry.subject for entry in entries]


def a_runner(
    store: Store, handler: Handler, *, name: str = "one", lease_s: float = 600.0, **options: Any
) -> OutboxRunner:
    return OutboxRunner(
        store.outbox,
        store.leases,
        {KIND: handler},
        name=name,
        lease_s=lease_s,
        **{"together": 4, **options},
    )


async def main(url: str, name: str, lease_s: float) -> None:
    async def hang(_: Entry) -> Outcome:
        print("working", flush=True)
        await asyncio.Event().wait()
        raise AssertionError

    async with Database(url) as database:
        runner = OutboxRunner(
            Outbox(database),
            Leases(database),
            {KIND: hang},
            name=name,
            lease_s=lease_s,
            together=1,
        )
        async with runner:
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
