"""What Prefect lost is dispatched once more; what moved since is not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import update

from core.status import FINAL, Status
from store.errors import FencedError
from store.store import Store
from store.tables import generations
from tests.harness.transactions import open_write
from tests.store.making import (
    LEASE,
    RUN,
    accepted,
    brought_to,
    claimed,
    dispatched,
    held,
    taken,
    worker_of,
)

# --- dispatch again


async def told(store: Store, generation_id: UUID) -> None:
    """Prefect has made RUN for what was decided, and the outbox is empty."""
    for dispatch in await taken(store):
        await store.flow_runs.record_flow_run(dispatch, RUN)


async def test_one_more_dispatch_is_written_and_no_second(store: Store) -> None:
    made, claim = await held(store)
    await told(store, made.id)
    assert await dispatched(store, made.id) == []

    assert await store.flow_runs.dispatch_again(made.id, 1, made.fence)

    now = await store.generations.get(made.id)
    assert (now.status, now.attempt, now.flow_run_id) == ("queued", 1, None)
    assert await dispatched(store, made.id) == [("start", 1)]
    assert await worker_of(store, made.id) is None
    with pytest.raises(FencedError):
        await store.transitions.status(claim)
    # And again, by one who saw it before or after.
    assert not await store.flow_runs.dispatch_again(made.id, 1, made.fence)
    assert not await store.flow_runs.dispatch_again(made.id, 1, now.fence)
    assert await dispatched(store, made.id) == [("start", 1)]


async def test_two_who_dispatch_again_at_once_make_one_dispatch(
    store: Store, second: Store
) -> None:
    made, _ = await held(store)
    await told(store, made.id)

    outcomes = await asyncio.gather(
        *(s.flow_runs.dispatch_again(made.id, 1, made.fence) for s in (store, second) * 2)
    )

    assert outcomes.count(True) == 1
    assert await dispatched(store, made.id) == [("start", 1)]


async def test_what_waits_to_be_dispatched_is_not_dispatched_again(store: Store) -> None:
    made = await accepted(store)

    assert not await store.flow_runs.dispatch_again(made.id, 1, made.fence)

    assert await store.generations.get(made.id) == made
    assert await dispatched(store, made.id) == [("start", 1)]


async def test_what_moved_since_is_not_dispatched_again(store: Store) -> None:
    made, _ = await held(store)
    await told(store, made.id)
    again = await claimed(store, made.id, flow_run_id=RUN, lease=LEASE)

    assert not await store.flow_runs.dispatch_again(made.id, 1, made.fence)
    assert not await store.flow_runs.dispatch_again(made.id, 2, again.fence)

    assert await store.transitions.status(again) == "running"
    assert await dispatched(store, made.id) == []


@pytest.mark.parametrize("status", sorted(FINAL))
async def test_what_has_ended_is_not_dispatched_again(store: Store, status: Status) -> None:
    made, _ = await brought_to(store, status)
    await told(store, made.id)
    made = await store.generations.get(made.id)

    assert not await store.flow_runs.dispatch_again(made.id, 1, made.fence)

    assert await store.generations.get(made.id) == made


async def test_what_was_deleted_is_not_dispatched_again(store: Store) -> None:
    made, _ = await held(store)
    await told(store, made.id)
    await store.transitions.delete(made.id)
    before = await dispatched(store, made.id)

    assert not await store.flow_runs.dispatch_again(made.id, 1, made.fence)
    assert not await store.flow_runs.dispatch_again(made.id, 1, made.fence + 1)

    assert await dispatched(store, made.id) == before


async def test_what_is_to_be_cancelled_is_not_dispatched_again(store: Store) -> None:
    """A cancel does not raise the fence, so it may come between a look and this.

    No run would ever be made for a dispatch of something that is being cancelled, and without a
    run and a holder nobody would ever end it.
    """
    made, _ = await held(store)
    await told(store, made.id)
    seen = await store.generations.get(made.id)
    await store.transitions.request_cancel(made.id)

    assert not await store.flow_runs.dispatch_again(made.id, 1, seen.fence)

    # It can still be ended through its run.
    assert await store.flow_runs.settle(made.id, RUN, "cancelled", None)


# --- a clock that was set back


async def test_one_accepted_before_the_clock_was_set_back_can_be_taken_over(store: Store) -> None:
    """No clock is asked about who holds it."""
    made, _ = await held(store)
    async with open_write(store.database) as connection:
        await connection.execute(
            update(generations).values(created_at=datetime.now(UTC) + timedelta(hours=2))
        )

    assert await store.flow_runs.let_go(made.id, RUN, made.fence)
