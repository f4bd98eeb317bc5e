"""What is to be sent to Prefect about a batch that was removed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy.engine import RowMapping

from store.generations.dispatches import LANE
from store.values import Entry, NewEntry

FORGET_BATCH: Final = f"{LANE}.forget_batch"
_RANK: Final = 2
"""As for the generations of batches: after everything that a client waits for."""


def forget_batch(row: RowMapping) -> NewEntry:
    """Returns the entry that has a batch's flow runs deleted. It names them: the row is gone."""
    run_id = row["flow_run_id"]
    return NewEntry(
        lane=LANE,
        kind=FORGET_BATCH,
        subject=row["id"],
        payload={
            "run_number": row["run_number"],
            "flow_run_id": str(run_id) if run_id is not None else None,
        },
        rank=_RANK,
        created_at=datetime.now(UTC),
    )


def run_number_of(entry: Entry) -> int:
    """Returns how many flow runs the batch has had."""
    return int(entry.payload["run_number"])


def flow_run_of(entry: Entry) -> UUID | None:
    """Returns the batch's last flow run, if one was recorded."""
    run_id = entry.payload["flow_run_id"]
    return UUID(run_id) if run_id is not None else None
