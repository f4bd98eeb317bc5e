"""Rows that another version wrote: shown as such, and nothing else is held up by them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select

from core.requests import ResolvedRequest, UnreadableRequest
from core.stored import Unreadable
from store.errors import HeldError, UnreadableRequestError
from store.store import Store
from store.tables import generations
from store.values import HistoryFilter, ProgressRecord
from tests.harness.transactions import open_read
from tests.store.batch_making import accepted_batch, children, running_batch, started
from tests.store.making import (
    COMFY,
    RUN,
    a_request,
    accepted,
    brought_to,
    claimed,
    dispatched,
    running,
)
from tests.store.other_versions import (
    OTHERS,
    Change,
    Document,
    rewritten,
    rewritten_item,
    rewritten_options,
    stored_as,
    with_another_field,
)

every_change = pytest.mark.parametrize(("change", "reason"), OTHERS.items())


@every_change
async def test_it_is_read_as_it_was_stored(store: Store, change: Change, reason: str) -> None:
    made = await accepted(store, prompt="a barn owl", priority="bulk")
    stored = await rewritten(store, made.id, change)

    found = (await store.generations.get(made.id)).request

    assert isinstance(found, UnreadableRequest)
    assert (found.stored, found.reason) == (stored, reason)
    assert (found.prompt, found.model, found.priority) == (
        "a barn owl",
        "base.safetensors",
        "bulk",
    )


@pytest.mark.parametrize("change", OTHERS)
async def test_it_stands_in_the_lists_with_the_others(store: Store, change: Change) -> None:
    made = [await accepted(store) for _ in range(3)]
    await rewritten(store, made[1].id, change)

    page = await store.generations.history(HistoryFilter(), 10, None)
    active = await store.generations.active()

    for found in (reversed(page.items), active):
        requests = [one.request for one in found]
        assert [type(one) for one in requests] == [
            ResolvedRequest,
            UnreadableRequest,
            ResolvedRequest,
        ]


async def test_what_this_version_writes_it_reads_back_the_same(store: Store) -> None:
    metadata = {"order": "42", "paid": True, "weight": 0.1 + 0.2, "count": 10**90, "none": None}
    made = await accepted(store, metadata=metadata, prompt="赤い狐 🦊", cfg=7)

    assert await store.generations.get(made.id) == made
    assert made.request == a_request(metadata=metadata, prompt="赤い狐 🦊", cfg=7)


@every_change
async def test_a_claim_fails_it_with_the_reason(store: Store, change: Change, reason: str) -> None:
    unread, other = await accepted(store), await accepted(store)
    await rewritten(store, unread.id, change)

    with pytest.raises(UnreadableRequestError, match="this version cannot read it"):
        await claimed(store, unread.id, flow_run_id=RUN)

    found = await store.generations.get(unread.id)
    assert found.error is not None
    assert (found.status, found.error.code) == ("failed", "unreadable_document")
    assert reason in found.error.detail
    assert found.finished_at is not None
    [attempt] = await store.generations.attempts(unread.id)
    assert (attempt.outcome, attempt.error, attempt.worker) == ("failed", found.error, None)
    assert (await claimed(store, other.id)).request == other.request


async def test_a_claim_leaves_it_to_the_worker_that_can_read_it(store: Store) -> None:
    made = await accepted(store)
    held = await running(store, made.id, flow_run_id=RUN)
    await rewritten(store, made.id, with_another_field)

    with pytest.raises(HeldError):
        await claimed(store, made.id, flow_run_id=RUN)

    assert await store.transitions.status(held) == "running"


async def test_its_prompt_is_taken_out_of_comfyui(store: Store) -> None:
    """The other version's worker had submitted it, and died."""
    made = await accepted(store)
    claim = await claimed(store, made.id, flow_run_id=RUN)
    await store.transitions.record_submission(claim)
    await store.transitions.unclaim(claim)
    await rewritten(store, made.id, with_another_field)

    with pytest.raises(UnreadableRequestError):
        await claimed(store, made.id, flow_run_id=RUN)

    assert [stray.prompt_id for stray in await store.strays.of(COMFY)] == [claim.prompt_id]


async def test_it_can_be_tried_again_and_fails_again(store: Store) -> None:
    made = await accepted(store)
    await rewritten(store, made.id, with_another_field)
    with pytest.raises(UnreadableRequestError):
        await claimed(store, made.id)

    again = await store.transitions.retry(made.id)

    assert (again.status, again.attempt) == ("failed", 2)
    found = await store.generations.get(made.id)
    assert (found.status, found.attempt) == ("failed", 2)
    assert [attempt.outcome for attempt in await store.generations.attempts(made.id)] == [
        "failed",
        "failed",
    ]


async def test_the_version_that_stored_it_makes_it(store: Store) -> None:
    """As after going back to that version: what it stored is as it was."""
    made = await accepted(store)
    await rewritten(store, made.id, with_another_field)
    with pytest.raises(UnreadableRequestError):
        await claimed(store, made.id)

    await rewritten(store, made.id, _without_loras)
    await store.transitions.retry(made.id)

    assert (await claimed(store, made.id)).request == made.request


def _without_loras(stored: Document) -> Document:
    kept = {name: value for name, value in stored.items() if name != "loras"}
    return {**kept, "$plan": {**kept["$plan"], "outputs": 1}}


async def test_what_waits_is_failed_without_a_worker(store: Store) -> None:
    made = await accepted(store)
    await rewritten(store, made.id, with_another_field)

    assert not await store.transitions.fail_unreadable(made.id, 2)
    assert await store.transitions.fail_unreadable(made.id, 1)
    assert not await store.transitions.fail_unreadable(made.id, 1)

    found = await store.generations.get(made.id)
    assert found.error is not None
    assert (found.status, found.error.code) == ("failed", "unreadable_document")


async def test_what_can_be_read_is_not_failed(store: Store) -> None:
    made = await accepted(store)

    assert not await store.transitions.fail_unreadable(made.id, 1)
    assert (await store.generations.get(made.id)).status == "queued"


async def test_it_can_be_cancelled_and_deleted(store: Store) -> None:
    cancelled, deleted = await accepted(store), await accepted(store)
    for made in (cancelled, deleted):
        await rewritten(store, made.id, with_another_field)

    assert (await store.transitions.request_cancel(cancelled.id)).status == "cancelled"
    await store.transitions.delete(deleted.id)

    async with open_read(store.database) as connection:
        statement = select(generations.c.request).where(generations.c.id == deleted.id)
        assert (await connection.execute(statement)).scalar_one() is None


async def test_the_feed_tells_of_it_and_goes_on(store: Store) -> None:
    with store.changes.subscribe() as subscription:
        unread = await accepted(store)
        await rewritten(store, unread.id, with_another_field)
        await store.transitions.request_cancel(unread.id)
        changes = subscription.changes()
        async with asyncio.timeout(20):
            while not isinstance((found := await anext(changes)).request, UnreadableRequest):
                pass
            other = await accepted(store)
            while (found := await anext(changes)).id != other.id:
                pass
    assert found.request == other.request


async def test_progress_and_waiting_of_another_version_are_left_out(store: Store) -> None:
    made, _ = await brought_to(store, "running")
    await stored_as(store, made.id, progress={"share": 0.5}, waiting={"why": "the moon"})

    found = await store.generations.get(made.id)

    assert (found.progress, found.waiting) == (None, None)

    await stored_as(store, made.id, progress={"percent": 50.0, "gpu": "hot"})
    assert (await store.generations.get(made.id)).progress == ProgressRecord(50.0)


async def test_a_problem_of_another_version_is_still_one(store: Store) -> None:
    made, _ = await brought_to(store, "failed")
    assert made.error is not None
    await stored_as(
        store, made.id, error={**made.error.model_dump(mode="json"), "advice": "Buy another GPU."}
    )
    assert (await store.generations.get(made.id)).error == made.error

    await stored_as(store, made.id, error={"reason": "the moon"})
    found = await store.generations.get(made.id)

    assert found.error is not None
    assert found.error.code == "unreadable_document"
    assert "the error" in found.error.detail


# --- batches


@every_change
async def test_an_item_fails_alone(store: Store, change: Change, reason: str) -> None:
    batch = await started(store, await accepted_batch(store, 3))
    stored = await rewritten_item(store, batch.id, 1, change)

    assert await store.batch_transitions.release(batch.id, 3) == 3

    assert await children(store, batch) == [(n, "queued", 1) for n in range(3)]
    unread = (await store.batches.items(batch.id, 10, None)).items[1]
    assert isinstance(unread.request, UnreadableRequest)
    assert unread.request.stored == stored
    assert unread.request.reason == reason
    assert await dispatched(store, unread.generation_id) == [("start", 1)]
    assert await store.transitions.fail_unreadable(unread.generation_id, 1)
    counts = await store.batches.counts(await store.batches.get(batch.id))
    assert (counts.waiting, counts.queued, counts.failed) == (0, 2, 1)


async def test_an_item_that_waits_is_shown_as_it_was_stored(store: Store) -> None:
    batch = await accepted_batch(store, 2)
    stored = await rewritten_item(store, batch.id, 0, with_another_field)

    unread, other = (await store.batches.items(batch.id, 10, None)).items

    assert isinstance(unread.request, UnreadableRequest)
    assert unread.request.stored == stored
    assert isinstance(other.request, ResolvedRequest)


async def test_options_are_read_as_they_were_stored(store: Store) -> None:
    batch, other = await running_batch(store), await accepted_batch(store)
    stored = await rewritten_options(store, batch.id)

    found = await store.batches.get(batch.id)

    assert isinstance(found.options, Unreadable)
    assert found.options.stored == stored
    assert found.options.reason == "order: there is no such field"
    assert found == replace(batch, options=found.options)
    assert await store.batches.active() == (found, other)


async def test_a_batch_with_such_options_can_be_cancelled(store: Store) -> None:
    batch = await running_batch(store)
    await rewritten_options(store, batch.id)

    assert (await store.batch_transitions.request_cancel(batch.id)).status == "cancelling"
