"""A batch and the flow runs that carry it: start, loss, take-over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.status import BatchStatus
from store.errors import ConflictError, NotFoundError
from store.store import Store
from tests.store.batch_making import (
    BY_CLIENT,
    DEPLOYMENT,
    accepted_batch,
    batch_in,
    ended_badly,
    running_batch,
    started,
)
from tests.store.batch_values import ENDED, LATER, PREFECT_PAUSED, marked
from tests.store.making import (
    LEASE,
    NEVER,
    OTHER_LEASE,
    OTHER_RUN,
    RUN,
)

# --- start


async def test_a_run_that_starts_makes_it_running(store: Store) -> None:
    batch = await started(store, await accepted_batch(store), window_ends_at=LATER)

    assert batch == await store.batches.get(batch.id)
    assert batch.status == "running"
    assert (batch.flow_run_id, batch.deployment_id, batch.holder) == (RUN, DEPLOYMENT, LEASE)
    assert batch.window_ends_at == LATER
    assert batch.started_at is not None
    assert await store.batches.of_run(RUN) == batch
    assert await store.batches.of_run(OTHER_RUN) is None


async def test_a_run_that_starts_once_more_takes_over(store: Store) -> None:
    """Its worker died: another one goes on where it stopped."""
    before = await started(store, await accepted_batch(store), window_ends_at=LATER)
    await store.batch_transitions.release(before.id, 2)

    after = await started(
        store, before, holder=OTHER_LEASE, window_ends_at=LATER + timedelta(days=1), rerun=True
    )

    assert (after.status, after.holder, after.released) == ("running", OTHER_LEASE, 2)
    assert (after.started_at, after.window_ends_at) == (before.started_at, LATER)


async def test_another_run_is_refused(store: Store) -> None:
    batch = await started(store, await accepted_batch(store))

    with pytest.raises(ConflictError):
        await started(store, batch, flow_run_id=OTHER_RUN, holder=OTHER_LEASE, rerun=True)

    assert await store.batches.get(batch.id) == batch


async def test_a_paused_batch_stays_paused_when_its_run_starts(store: Store) -> None:
    batch = await accepted_batch(store)
    await store.batch_transitions.pause(batch.id, BY_CLIENT)

    now = await started(store, batch)

    assert (now.status, now.waiting, now.holder) == ("paused", BY_CLIENT, LEASE)
    assert (await store.batch_transitions.resume(batch.id, None)).status == "running"


async def test_what_was_paused_in_prefect_goes_on_when_its_run_does(store: Store) -> None:
    batch = await running_batch(store)
    await store.batch_transitions.pause(batch.id, PREFECT_PAUSED)

    now = await started(store, batch)

    assert (now.status, now.waiting) == ("running", None)


@pytest.mark.parametrize("status", [*ENDED, "cancelling"])
async def test_what_has_ended_is_not_started(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    with pytest.raises(ConflictError):
        await started(store, batch)

    assert await store.batches.get(batch.id) == batch


@pytest.mark.parametrize("status", ["succeeded", "cancelling"])
async def test_a_rerun_is_no_retry_of_what_needs_none(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    with pytest.raises(ConflictError):
        await started(store, batch, rerun=True)

    assert await store.batches.get(batch.id) == batch


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_prefects_own_retry_makes_what_failed_again(
    store: Store, status: BatchStatus
) -> None:
    ended = await ended_badly(store, "succeeded", "failed", "cancelled", total=4, to=status)

    now = await started(store, ended, holder=OTHER_LEASE, window_ends_at=LATER, rerun=True)

    assert (now.status, now.to_retry, now.error, now.finished_at) == ("running", 2, None, None)
    assert (now.run_number, now.flow_run_id, now.holder) == (1, RUN, OTHER_LEASE)
    assert now.window_ends_at == LATER
    assert await marked(store, ended) == [1, 2]


async def test_what_never_was_is_not_started(store: Store) -> None:
    with pytest.raises(NotFoundError):
        await store.batch_transitions.start(
            NEVER, flow_run_id=RUN, deployment_id=None, holder=LEASE, window_ends_at=None
        )


# --- its flow run


async def test_the_flow_run_is_remembered_once(store: Store) -> None:
    batch = await accepted_batch(store)
    record = store.batch_transitions.record_flow_run

    await record(batch.id, 1, RUN, DEPLOYMENT)
    await record(batch.id, 1, OTHER_RUN, None)

    now = await store.batches.get(batch.id)
    assert (now.flow_run_id, now.deployment_id) == (RUN, DEPLOYMENT)


async def test_an_older_flow_run_is_not_remembered(store: Store) -> None:
    ended = await batch_in(store, "failed")
    again = await store.batch_transitions.retry(ended.id)

    await store.batch_transitions.record_flow_run(ended.id, ended.run_number, RUN, DEPLOYMENT)

    assert await store.batches.get(ended.id) == again


async def test_a_run_that_prefect_lost_is_made_once_more(store: Store) -> None:
    batch = await running_batch(store, released=1)

    assert await store.batch_transitions.lose_run(batch.id, batch.run_number)

    now = await store.batches.get(batch.id)
    assert (now.flow_run_id, now.holder, now.status) == (None, None, "running")
    assert (await started(store, batch, flow_run_id=OTHER_RUN)).flow_run_id == OTHER_RUN


@pytest.mark.parametrize("status", ENDED)
async def test_the_run_of_what_has_ended_is_not_lost(store: Store, status: BatchStatus) -> None:
    batch = await batch_in(store, status)

    assert not await store.batch_transitions.lose_run(batch.id, batch.run_number)

    assert await store.batches.get(batch.id) == batch


async def test_an_older_run_cannot_be_lost(store: Store) -> None:
    ended = await batch_in(store, "failed")
    await store.batch_transitions.retry(ended.id)
    now = await started(store, ended, flow_run_id=OTHER_RUN)

    assert not await store.batch_transitions.lose_run(ended.id, ended.run_number)

    assert await store.batches.get(ended.id) == now


async def test_only_its_holder_is_let_go(store: Store) -> None:
    batch = await running_batch(store)

    assert not await store.batch_transitions.let_go(batch.id, OTHER_LEASE)
    assert not await store.batch_transitions.let_go(batch.id, None)
    assert (await store.batches.get(batch.id)).holder == LEASE

    assert await store.batch_transitions.let_go(batch.id, LEASE)
    assert (await store.batches.get(batch.id)).holder is None
