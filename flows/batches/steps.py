"""What a batch's flow run does, one step at a time. The rules are in ``rules.py``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from flows.batches.rules import Finish, Pause, Release, Step, next_step, window_end
from flows.retries import patiently
from store.store import Store
from store.values import Batch, BatchCounts


@dataclass(frozen=True)
class Taken:
    """A step that was taken, and the rows it was decided from."""

    step: Step
    batch: Batch
    counts: BatchCounts


async def start(
    store: Store,
    batch_id: UUID,
    *,
    flow_run_id: UUID,
    deployment_id: UUID | None,
    holder: UUID,
    rerun: bool = False,
) -> Batch:
    """Record the flow run as the batch's own. Raises NotFoundError, ConflictError."""
    options = (await patiently(store.batches.get, batch_id)).options
    return await patiently(
        store.batch_transitions.start,
        batch_id,
        flow_run_id=flow_run_id,
        deployment_id=deployment_id,
        holder=holder,
        window_ends_at=window_end(options, datetime.now(UTC)),
        rerun=rerun,
    )


async def take(store: Store, batch_id: UUID) -> Taken:
    """Read the rows, and do what the rules say."""
    batch = await patiently(store.batches.get, batch_id)
    counts = await patiently(store.batches.counts, batch)
    step = next_step(batch, counts, datetime.now(UTC))
    transitions = store.batch_transitions
    match step:
        case Finish():
            await patiently(transitions.finish, batch_id, step.to, step.problem)
        case Release():
            await patiently(transitions.release, batch_id, step.most)
        case Pause():
            await patiently(transitions.pause, batch_id, step.waiting)
    return Taken(step, batch, counts)
