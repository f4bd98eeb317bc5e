"""What the reconciler reads."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from core.status import FINAL
from store.store import Store
from store.values import (
    UnderWay,
)
from tests.store.making import (
    LEASE,
    OTHER_LEASE,
    OTHER_RUN,
    OUT_OF_MEMORY,
    RUN,
    accepted,
    being_cancelled,
    brought_to,
    claimed,
    empty_outbox,
    held,
    taken,
    under_way,
)


async def test_all_that_somebody_does_is_seen_and_a_part_of_what_waits(store: Store) -> None:
    waiting = [await accepted(store) for _ in range(4)]
    runs = [await held(store) for _ in range(2)]
    claimed_only = await accepted(store)
    await claimed(store, claimed_only.id, flow_run_id=OTHER_RUN, lease=OTHER_LEASE)
    cancelling, _ = await being_cancelled(store)
    for ended in sorted(FINAL):
        await brought_to(store, ended)
    await store.transitions.delete((await accepted(store)).id)
    done = [*(made.id for made, _ in runs), claimed_only.id, cancelling.id]

    page = await store.generations.under_way(2, 0)

    assert [one.generation.id for one in page] == [*done, waiting[0].id, waiting[1].id]
    holders = [one.holder for one in page]
    assert holders == [LEASE, LEASE, OTHER_LEASE, LEASE, None, None]

    following = await store.generations.under_way(2, waiting[1].seq)
    assert [one.generation.id for one in following[4:]] == [waiting[2].id, waiting[3].id]
    assert len(await store.generations.under_way(2, waiting[3].seq)) == 4


async def test_what_was_let_go_waits_among_the_others(store: Store) -> None:
    made, _ = await held(store)
    await store.flow_runs.let_go(made.id, RUN, made.fence)

    [seen] = await store.generations.under_way(1, 0)
    assert (seen.generation.id, seen.holder) == (made.id, None)
    assert await store.generations.under_way(1, made.seq) == ()


async def test_of_a_cancel_that_nobody_carries_out_everything_is_seen(store: Store) -> None:
    """It does not wait, whoever holds it: it is never left to a later page."""
    made, _ = await being_cancelled(store)
    await store.flow_runs.give_back(RUN, LEASE)

    [seen] = await store.generations.under_way(1, made.seq)
    assert (seen.generation.id, seen.holder) == (made.id, None)


async def test_a_run_leads_to_its_generation_ended_or_not(store: Store) -> None:
    deployment = uuid.uuid4()
    made = await accepted(store)
    [start] = await taken(store)
    await store.flow_runs.record_flow_run(start, RUN, deployment)

    seen = await under_way(store)
    assert (seen.generation.id, seen.holder, seen.deployment_id) == (made.id, None, deployment)

    claim = await claimed(store, made.id, flow_run_id=RUN, lease=LEASE)
    assert await under_way(store) == UnderWay(
        await store.generations.get(made.id), LEASE, deployment
    )

    await store.transitions.cancelled(claim)
    assert (await under_way(store)).generation.status == "cancelled"
    assert await store.generations.of_run(OTHER_RUN) is None


async def test_the_run_of_a_former_attempt_leads_nowhere(store: Store) -> None:
    made, _ = await held(store)
    await store.flow_runs.settle(made.id, RUN, "failed", OUT_OF_MEMORY)
    assert await store.generations.of_run(RUN) is not None

    await store.transitions.retry(made.id)

    assert await store.generations.of_run(RUN) is None


async def test_what_nobody_will_ever_start_is_found(store: Store) -> None:
    forgotten = await accepted(store)
    await empty_outbox(store)
    # Not these: to be dispatched, dispatched, ended, deleted.
    await accepted(store)
    await held(store)
    await brought_to(store, "cancelled")
    gone = await accepted(store)
    await store.transitions.delete(gone.id)
    later = datetime.now(UTC) + timedelta(seconds=1)

    found = await store.generations.undispatched(later)

    assert [generation.id for generation in found] == [forgotten.id]
    assert await store.generations.undispatched(forgotten.created_at) == ()

    assert await store.flow_runs.dispatch_again(forgotten.id, 1, forgotten.fence)
    assert await store.generations.undispatched(later) == ()
