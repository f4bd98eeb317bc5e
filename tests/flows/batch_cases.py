"""Batches as rows would show them, for rules that need no store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from core.batches.request import BatchOptions, StoredOptions
from store.values import Batch, BatchCounts

BATCH, RUN, LEASE = UUID(int=1), UUID(int=2), UUID(int=3)
OURS, ANOTHER = UUID(int=4), UUID(int=5)
NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOTHING: Final = BatchCounts(
    waiting=0, queued=0, running=0, cancelling=0, succeeded=0, failed=0, cancelled=0, deleted=0
)


def counts(**some: int) -> BatchCounts:
    return replace(NOTHING, **some)


def a_batch(options: StoredOptions | None = None, **fields: Any) -> Batch:
    """It runs, unless ``fields`` say something else."""
    batch = Batch(
        id=BATCH,
        seq=1,
        status="running",
        name="foxes",
        options=options or BatchOptions(),
        grid=None,
        seed=7,
        total=100,
        cost=100.0,
        released=0,
        to_retry=0,
        run_number=1,
        flow_run_id=RUN,
        deployment_id=OURS,
        holder=LEASE,
        schedule=None,
        callback=None,
        waiting=None,
        error=None,
        window_ends_at=None,
        body_sha256=None,
        created_at=NOW,
        started_at=NOW,
        finished_at=None,
    )
    return replace(batch, **fields)
