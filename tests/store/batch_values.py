"""Values and look-ups that the tests of a batch's changes share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from sqlalchemy import Table, func, select

from core.status import BATCH_ACTIVE, BatchStatus
from store.batches.transitions import PAUSED_IN_PREFECT
from store.generations.acceptance import IdempotencyKey
from store.store import Store
from store.values import Batch, Waiting
from tests.harness.transactions import open_read

STATUSES: tuple[BatchStatus, ...] = get_args(BatchStatus)
ENDED = [status for status in STATUSES if status not in BATCH_ACTIVE]
PREFECT_PAUSED = Waiting(PAUSED_IN_PREFECT, "Its flow run was paused.")
KEY = IdempotencyKey("order-42", "a" * 64)
LATER = datetime(2030, 1, 1, 7, 0, tzinfo=UTC)


async def rows_of(store: Store, table: Table) -> int:
    async with open_read(store.database) as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def marked(store: Store, batch: Batch) -> list[int]:
    """Positions of the items that are to have another attempt."""
    page = await store.batches.items(batch.id, 100, None)
    return [item.position for item in page.items if item.again]
