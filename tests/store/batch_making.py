"""What tests of batches do again and again: make one, bring it and its generations somewhere."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from core.batches.request import BatchOptions
from core.callbacks.callback import Callback
from core.ids import item_id
from core.problems import problem
from core.status import BatchStatus, Status
from store.batches.transitions import PAUSED
from store.generations.acceptance import IdempotencyKey
from store.generations.inserts import cost
from store.store import Store
from store.tables import batch_items, generations
from store.values import Batch, NewItem, Waiting
from tests.harness.transactions import open_read, open_write
from tests.store.making import LEASE, OUT_OF_MEMORY, RUN, a_request, an_image, claimed

BY_CLIENT = Waiting(PAUSED, "It was paused.")
INCOMPLETE = problem("batch_incomplete", "Of 3, 1 failed.")
SEED = 7
DEPLOYMENT = UUID(int=31)


def new_items(count: int, turns: Sequence[int] | None = None, **fields: Any) -> list[NewItem]:
    """In the manifest's order, from its second line on; each says its position in its prompt."""
    return [
        NewItem(
            position,
            turn,
            position + 2,
            a_request(prompt=f"item {position}", seed=position, priority="bulk", **fields),
        )
        for position, turn in zip(range(count), turns or range(count), strict=True)
    ]


async def being_accepted(store: Store, items: Sequence[NewItem] = (), **begin: Any) -> UUID:
    """A batch that nobody sees yet."""
    batch_id = uuid.uuid4()
    await begun(store, batch_id, **begin)
    await store.batch_transitions.add(batch_id, items)
    return batch_id


async def begun(
    store: Store,
    batch_id: UUID,
    *,
    key: IdempotencyKey | None = None,
    flow_run_id: UUID | None = None,
    schedule: str | None = None,
    callback: Callback | None = None,
    **options: Any,
) -> None:
    await store.batch_transitions.begin(
        batch_id,
        "foxes",
        BatchOptions(**options),
        SEED,
        key=key,
        flow_run_id=flow_run_id,
        schedule=schedule,
        callback=callback,
    )


async def accepted_batch(
    store: Store, count: int = 3, turns: Sequence[int] | None = None, **begin: Any
) -> Batch:
    items = new_items(count, turns)
    batch_id = await being_accepted(store, items, **begin)
    work = sum(cost(item.request) for item in items)
    return await store.batch_transitions.accept(batch_id, count, work)


async def started(
    store: Store,
    batch: Batch,
    *,
    flow_run_id: UUID = RUN,
    holder: UUID = LEASE,
    window_ends_at: datetime | None = None,
    rerun: bool = False,
) -> Batch:
    return await store.batch_transitions.start(
        batch.id,
        flow_run_id=flow_run_id,
        deployment_id=DEPLOYMENT,
        holder=holder,
        window_ends_at=window_ends_at,
        rerun=rerun,
    )


async def running_batch(
    store: Store, count: int = 3, turns: Sequence[int] | None = None, *, released: int = 0
) -> Batch:
    """A batch that RUN does, with its first generations."""
    batch = await started(store, await accepted_batch(store, count, turns))
    assert await store.batch_transitions.release(batch.id, released) == released
    return await store.batches.get(batch.id)


async def batch_in(store: Store, status: BatchStatus, count: int = 3) -> Batch:
    """A batch in that status; nothing of it is released."""
    batch = await accepted_batch(store, count)
    if status != "queued":
        await started(store, batch)
    match status:
        case "paused":
            await store.batch_transitions.pause(batch.id, BY_CLIENT)
        case "cancelling":
            await store.batch_transitions.request_cancel(batch.id)
        case "succeeded" | "cancelled":
            assert await store.batch_transitions.finish(batch.id, status)
        case "failed":
            assert await store.batch_transitions.finish(batch.id, status, INCOMPLETE)
    return await store.batches.get(batch.id)


async def ended_child(store: Store, batch: Batch, position: int, to: Status) -> UUID:
    """Bring the generation of an item to its end, as a worker does; its id."""
    child = item_id(batch.id, position)
    claim = await claimed(store, child)
    await store.transitions.start(claim, datetime.now(UTC))
    match to:
        case "succeeded":
            await store.transitions.succeed(claim, [an_image(claim)])
        case "failed":
            assert await store.transitions.fail(claim, OUT_OF_MEMORY)
        case "cancelled":
            await store.transitions.request_cancel(child)
            assert await store.transitions.cancelled(claim)
    return child


async def ended_badly(
    store: Store, *children: Status, total: int | None = None, to: BatchStatus = "failed"
) -> Batch:
    """A batch that ended, after its first generations had come to these ends."""
    batch = await running_batch(store, total or len(children), released=len(children))
    for position, status in enumerate(children):
        await ended_child(store, batch, position, status)
    assert await store.batch_transitions.finish(batch.id, to)
    return await store.batches.get(batch.id)


async def children(store: Store, batch: Batch) -> list[tuple[int, Status, int]]:
    """Position, status and attempt of its generations, in the order in which they were made."""
    statement = (
        select(batch_items.c.position, generations.c.status, generations.c.attempt)
        .join(generations, generations.c.id == batch_items.c.generation_id)
        .where(batch_items.c.batch_id == batch.id, generations.c.batch_id == batch.id)
        .order_by(generations.c.seq)
    )
    async with open_read(store.database) as connection:
        return [row._tuple() for row in await connection.execute(statement)]


async def timed(store: Store, child: UUID, **moments: datetime | None) -> None:
    """Make it have started and finished at these moments."""
    async with open_write(store.database) as connection:
        await connection.execute(
            update(generations).where(generations.c.id == child).values(**moments)
        )
