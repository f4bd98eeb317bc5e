"""The head start: ComfyUI gets the prompt while Prefect still does its bookkeeping, and once."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from comfy import build_workflow
from comfy.emulator import Emulator
from flows.runtime import Runtime
from store.errors import ConflictError
from store.store import Store
from store.values import Claim
from tests.comfy.data import resolved


@pytest.fixture
async def generation_id(store: Store) -> UUID:
    return (await store.acceptance.accept(resolved())).generation.id


async def adopted(runtime: Runtime, run_id: UUID, generation_id: UUID) -> Claim:
    head_start = runtime.begin_head_start(run_id, generation_id, 1, rerun=False)
    claim = await head_start.claim
    head_start.adopted = True
    return claim


async def test_the_flow_joins_the_head_start_and_posts_nothing_itself(
    runtime: Runtime, emulator: Emulator, generation_id: UUID
) -> None:
    run_id = uuid4()
    claim = await adopted(runtime, run_id, generation_id)
    head_start = runtime.head_starts[run_id]
    await head_start.submission  # done long before the flow's own submit, as it mostly is
    emulator.faults.clear()
    submitted = await runtime.submit(claim, build_workflow(claim.request, claim.prompt_id))
    assert submitted.how == "posted"
    assert emulator.posts == {claim.prompt_id: 1}


async def test_a_second_submission_looks_before_it_posts(
    runtime: Runtime, emulator: Emulator, generation_id: UUID
) -> None:
    claim = await adopted(runtime, uuid4(), generation_id)
    workflow = build_workflow(claim.request, claim.prompt_id)
    for _ in range(3):
        await runtime.submit(claim, workflow)
    assert emulator.posts == {claim.prompt_id: 1}


async def test_a_prompt_that_a_restart_lost_is_posted_again(
    runtime: Runtime, emulator: Emulator, generation_id: UUID
) -> None:
    emulator.faults.hang()
    claim = await adopted(runtime, uuid4(), generation_id)
    workflow = build_workflow(claim.request, claim.prompt_id)
    await runtime.submit(claim, workflow)
    await emulator.restart()
    await runtime.submit(claim, workflow)
    assert emulator.posts == {claim.prompt_id: 2}


async def test_a_head_start_that_is_cancelled_before_its_flow_began_is_undone(
    runtime: Runtime, emulator: Emulator, generation_id: UUID
) -> None:
    emulator.faults.hang()
    run_id = uuid4()
    head_start = runtime.begin_head_start(run_id, generation_id, 1, rerun=False)
    await head_start.submission
    await runtime.store.transitions.request_cancel(generation_id)
    await runtime.end_head_start(run_id, cancelled=True)
    assert (await runtime.store.generations.get(generation_id)).status == "cancelled"
    assert (await runtime.session.client.queue()).find(head_start.claim.result().prompt_id) is None
    assert runtime.head_starts == {}


async def test_a_head_start_whose_worker_stops_goes_back(
    runtime: Runtime, generation_id: UUID
) -> None:
    run_id = uuid4()
    head_start = runtime.begin_head_start(run_id, generation_id, 1, rerun=False)
    await head_start.claim
    await runtime.end_head_start(run_id, cancelled=False)
    assert (await runtime.store.generations.get(generation_id)).status == "queued"


async def test_a_head_start_that_the_flow_took_over_is_left_alone(
    runtime: Runtime, emulator: Emulator, generation_id: UUID
) -> None:
    run_id = uuid4()
    claim = await adopted(runtime, run_id, generation_id)
    await runtime.head_starts[run_id].submission
    await runtime.end_head_start(run_id, cancelled=True)
    assert emulator.posts == {claim.prompt_id: 1}
    assert (await runtime.store.generations.get(generation_id)).status == "queued"


async def test_nothing_is_posted_for_what_was_cancelled_before(
    runtime: Runtime, emulator: Emulator, generation_id: UUID
) -> None:
    await runtime.store.transitions.request_cancel(generation_id)
    run_id = uuid4()
    head_start = runtime.begin_head_start(run_id, generation_id, 1, rerun=False)
    await asyncio.wait([head_start.claim, head_start.submission])
    with pytest.raises(ConflictError):
        head_start.claim.result()
    await runtime.end_head_start(run_id, cancelled=True)
    assert emulator.posts == {}


async def test_a_stopped_submission_posts_nothing_later(
    runtime: Runtime, emulator: Emulator, generation_id: UUID
) -> None:
    run_id = uuid4()
    claim = await adopted(runtime, run_id, generation_id)
    await runtime.stop_submission(run_id)
    assert await runtime.session.cancel(claim.prompt_id)
    assert (await runtime.session.client.queue()).find(claim.prompt_id) is None
    assert runtime.head_starts[run_id].submission.done()


async def test_what_is_taken_together_is_posted_in_its_order(
    runtime: Runtime, emulator: Emulator, store: Store
) -> None:
    accepted = await asyncio.gather(*(store.acceptance.accept(resolved()) for _ in range(6)))
    head_starts = [
        runtime.begin_head_start(uuid4(), one.generation.id, 1, rerun=False) for one in accepted
    ]
    await asyncio.gather(*(head_start.submission for head_start in head_starts))
    assert list(emulator.posts) == [h.claim.result().prompt_id for h in head_starts]
