"""The early start: ComfyUI gets the prompt while Prefect still does its bookkeeping, and once."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from comfy import Submitted
from comfy.emulator import Emulator
from flows import pipeline, submitting
from flows.early_start import EarlyStart
from flows.pipeline import Assignment
from flows.runtime import Runtime
from store.errors import ConflictError
from store.store import Store
from store.values import Claim
from tests.comfy.data import resolved

RUN = UUID(int=1)


@pytest.fixture
async def generation_id(store: Store) -> UUID:
    return (await store.acceptance.accept(resolved())).generation.id


@pytest.fixture
async def early(runtime: Runtime, generation_id: UUID) -> EarlyStart:
    return begun(runtime, RUN, generation_id)


def begun(runtime: Runtime, run_id: UUID, generation_id: UUID) -> EarlyStart:
    return runtime.early_starts.begin(Assignment(generation_id, run_id, 1))


async def taken_over(runtime: Runtime) -> Claim:
    claim = await runtime.early_starts.take_over(RUN)
    assert claim is not None
    return claim


async def submitted(runtime: Runtime, claim: Claim) -> Submitted:
    """As the flow's submit task does."""
    joined = await runtime.early_starts.join(claim)
    return joined or await submitting.submit(
        runtime.store, runtime.session, claim, await pipeline.build(runtime.store, claim)
    )


async def test_the_flow_joins_the_early_start_and_posts_nothing_itself(
    runtime: Runtime, emulator: Emulator, early: EarlyStart
) -> None:
    claim = await taken_over(runtime)
    await early.submission  # done long before the flow's own submit, as it mostly is
    assert (await submitted(runtime, claim)).how == "posted"
    assert emulator.posts == {claim.prompt_id: 1}


@pytest.mark.usefixtures("early")
async def test_a_second_submission_looks_before_it_posts(
    runtime: Runtime, emulator: Emulator
) -> None:
    claim = await taken_over(runtime)
    for _ in range(3):
        await submitted(runtime, claim)
    assert emulator.posts == {claim.prompt_id: 1}


@pytest.mark.usefixtures("early")
async def test_a_prompt_that_a_restart_lost_is_posted_again(
    runtime: Runtime, emulator: Emulator
) -> None:
    emulator.faults.hang()
    claim = await taken_over(runtime)
    await submitted(runtime, claim)
    await emulator.restart()
    await submitted(runtime, claim)
    assert emulator.posts == {claim.prompt_id: 2}


async def test_a_run_without_an_early_start_has_nothing_to_take_over(runtime: Runtime) -> None:
    assert await runtime.early_starts.take_over(RUN) is None


@pytest.mark.parametrize("was_told", [True, False], ids=["told", "not told"])
async def test_an_early_start_that_is_cancelled_before_its_flow_began_is_undone(
    runtime: Runtime,
    emulator: Emulator,
    early: EarlyStart,
    generation_id: UUID,
    was_told: bool,
) -> None:
    emulator.faults.hang()
    await early.submission
    await runtime.store.transitions.request_cancel(generation_id)
    await runtime.early_starts.end(RUN, cancelled=was_told)
    assert (await runtime.store.generations.get(generation_id)).status == "cancelled"
    assert (await runtime.session.client.queue()).find(early.claim.result().prompt_id) is None
    assert await runtime.store.strays.of(emulator.url) == ()
    assert await runtime.early_starts.take_over(RUN) is None


async def test_an_early_start_whose_worker_stops_goes_back(
    runtime: Runtime, early: EarlyStart, generation_id: UUID
) -> None:
    await early.claim
    await runtime.early_starts.end(RUN, cancelled=False)
    under_way = await runtime.store.generations.of_run(RUN)
    assert under_way is not None
    assert under_way.holder is None
    assert (await runtime.store.generations.get(generation_id)).status == "queued"


async def test_an_early_start_that_the_flow_took_over_is_left_alone(
    runtime: Runtime, emulator: Emulator, early: EarlyStart, generation_id: UUID
) -> None:
    claim = await taken_over(runtime)
    await early.submission
    await runtime.early_starts.end(RUN, cancelled=True)
    assert emulator.posts == {claim.prompt_id: 1}
    assert (await runtime.store.generations.get(generation_id)).status == "queued"


async def test_nothing_is_posted_for_what_was_cancelled_before(
    runtime: Runtime, emulator: Emulator, generation_id: UUID
) -> None:
    await runtime.store.transitions.request_cancel(generation_id)
    early = begun(runtime, RUN, generation_id)
    await asyncio.wait([early.claim, early.submission])
    with pytest.raises(ConflictError):
        await runtime.early_starts.take_over(RUN)
    await runtime.early_starts.end(RUN, cancelled=True)
    assert emulator.posts == {}


async def test_a_stopped_submission_posts_nothing_later(
    runtime: Runtime, early: EarlyStart
) -> None:
    claim = await taken_over(runtime)
    await runtime.early_starts.stop(RUN)
    assert await runtime.session.cancel(claim.prompt_id)
    assert (await runtime.session.client.queue()).find(claim.prompt_id) is None
    assert early.submission.done()


async def test_what_is_taken_together_is_posted_in_its_order(
    runtime: Runtime, emulator: Emulator, store: Store
) -> None:
    accepted = await asyncio.gather(*(store.acceptance.accept(resolved()) for _ in range(6)))
    begun_ = [begun(runtime, uuid4(), one.generation.id) for one in accepted]
    await asyncio.gather(*(early.submission for early in begun_))
    assert list(emulator.posts) == [early.claim.result().prompt_id for early in begun_]
