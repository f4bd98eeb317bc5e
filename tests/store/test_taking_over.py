"""What is taken from one who died, and given back by one who stops."""

from __future__ import annotations

import asyncio

import pytest

from core.status import FINAL, Status
from store.errors import FencedError, HeldError
from store.store import Store
from store.values import (
    ProgressRecord,
)
from tests.store.making import (
    LEASE,
    NEVER,
    OTHER_LEASE,
    OTHER_RUN,
    OUT_OF_MEMORY,
    PAUSED,
    RUN,
    an_image,
    being_cancelled,
    brought_to,
    claimed,
    held,
    taken_over,
    under_way,
    worker_of,
)

# --- let go


async def test_what_is_let_go_waits_again_and_nobody_holds_it(store: Store) -> None:
    made, claim = await held(store)
    await store.transitions.record_progress(claim, ProgressRecord(50.0), None, None)

    assert await store.flow_runs.let_go(made.id, RUN, made.fence)

    now = await store.generations.get(made.id)
    assert (now.status, now.attempt, now.flow_run_id) == ("queued", 1, RUN)
    assert (now.progress, now.waiting, now.started_at) == (None, None, None)
    assert now.fence == made.fence + 1
    assert await worker_of(store, made.id) is None
    assert (await under_way(store)).holder is None
    with pytest.raises(FencedError):
        await store.transitions.status(claim)
    with pytest.raises(FencedError):
        await store.transitions.succeed(claim, [an_image(claim)])


async def test_it_says_why_it_waits(store: Store) -> None:
    made, _ = await held(store)

    assert await store.flow_runs.let_go(made.id, RUN, made.fence, PAUSED)

    assert (await store.generations.get(made.id)).waiting == PAUSED


async def test_what_is_being_cancelled_stays_so_when_it_is_let_go(store: Store) -> None:
    made, _ = await being_cancelled(store)

    assert await store.flow_runs.let_go(made.id, RUN, made.fence)

    assert (await store.generations.get(made.id)).status == "cancelling"
    assert (await under_way(store)).holder is None


async def test_nothing_is_taken_from_one_who_claimed_meanwhile(store: Store) -> None:
    made, _ = await held(store)
    again = await claimed(store, made.id, flow_run_id=RUN, lease=LEASE)

    assert not await store.flow_runs.let_go(made.id, RUN, made.fence)

    assert await store.transitions.status(again) == "running"
    assert (await under_way(store)).holder == LEASE


async def test_who_claimed_what_was_let_go_is_not_robbed_by_an_older_look(store: Store) -> None:
    made, _ = await held(store)
    again = await taken_over(store, made.id, flow_run_id=RUN, lease=OTHER_LEASE)

    assert not await store.flow_runs.let_go(made.id, RUN, made.fence)

    assert await store.transitions.status(again) == "queued"
    assert (await under_way(store)).holder == OTHER_LEASE


async def test_of_a_claim_and_a_let_go_at_once_the_claim_stands(
    store: Store, second: Store
) -> None:
    """Whichever came first: the claim came after the other, or made it fail."""
    for _ in range(5):
        made, _ = await held(store)
        _, taken = await asyncio.gather(
            store.flow_runs.let_go(made.id, RUN, made.fence),
            claimed(second, made.id, flow_run_id=RUN, lease=LEASE),
        )
        assert await store.transitions.status(taken) in ("queued", "running")
        assert (await under_way(store)).holder == LEASE
        await store.transitions.delete(made.id)


async def test_only_one_of_two_lets_go(store: Store, second: Store) -> None:
    made, _ = await held(store)

    outcomes = await asyncio.gather(
        *(s.flow_runs.let_go(made.id, RUN, made.fence) for s in (store, second) * 2)
    )

    assert outcomes.count(True) == 1
    assert (await store.generations.get(made.id)).fence == made.fence + 1


@pytest.mark.parametrize("status", sorted(FINAL))
async def test_what_has_ended_is_not_let_go(store: Store, status: Status) -> None:
    made, _ = await brought_to(store, status)
    assert made.flow_run_id is not None

    assert not await store.flow_runs.let_go(made.id, made.flow_run_id, made.fence)

    assert await store.generations.get(made.id) == made


async def test_what_another_run_does_or_was_deleted_is_not_let_go(store: Store) -> None:
    made, _ = await held(store)
    assert not await store.flow_runs.let_go(made.id, OTHER_RUN, made.fence)
    assert not await store.flow_runs.let_go(NEVER, RUN, made.fence)

    await store.transitions.delete(made.id)

    assert not await store.flow_runs.let_go(made.id, RUN, made.fence)
    assert not await store.flow_runs.let_go(made.id, RUN, made.fence + 1)


async def test_the_next_worker_goes_on_with_the_same_prompt(store: Store) -> None:
    made, claim = await held(store)
    await store.transitions.record_submission(claim)
    await store.flow_runs.let_go(made.id, RUN, made.fence)

    again = await claimed(store, made.id, flow_run_id=RUN, attempt=1)

    assert again.prompt_id == claim.prompt_id
    assert again.submitted_before
    assert again.fence > claim.fence


# --- give back


async def test_a_worker_gives_back_what_its_run_still_holds(store: Store) -> None:
    made, claim = await held(store)

    assert await store.flow_runs.give_back(RUN, LEASE)

    assert (await store.generations.get(made.id)).status == "queued"
    assert await worker_of(store, made.id) is None
    with pytest.raises(FencedError):
        await store.transitions.status(claim)
    assert not await store.flow_runs.give_back(RUN, LEASE)


async def test_nobody_gives_back_what_another_holds(store: Store) -> None:
    made, claim = await held(store)

    assert not await store.flow_runs.give_back(RUN, OTHER_LEASE)
    assert not await store.flow_runs.give_back(OTHER_RUN, LEASE)

    assert await store.generations.get(made.id) == made
    assert await store.transitions.status(claim) == "running"


@pytest.mark.parametrize("status", sorted(FINAL))
async def test_nothing_is_given_back_that_has_ended(store: Store, status: Status) -> None:
    made, claim = await held(store)
    match status:
        case "succeeded":
            await store.transitions.succeed(claim, [an_image(claim)])
        case "failed":
            await store.transitions.fail(claim, OUT_OF_MEMORY)
        case _:
            await store.transitions.cancelled(claim)
    before = await store.generations.get(made.id)

    assert not await store.flow_runs.give_back(RUN, LEASE)

    assert await store.generations.get(made.id) == before


async def test_what_is_being_cancelled_stays_so_when_it_is_given_back(store: Store) -> None:
    made, _ = await being_cancelled(store)

    assert await store.flow_runs.give_back(RUN, LEASE)

    assert (await store.generations.get(made.id)).status == "cancelling"
    assert (await under_way(store)).holder is None


async def test_what_another_holds_cannot_be_claimed_before_it_is_let_go(store: Store) -> None:
    made, claim = await held(store)

    with pytest.raises(HeldError):
        await claimed(store, made.id, flow_run_id=RUN, lease=OTHER_LEASE)

    assert await store.generations.get(made.id) == made
    assert await store.transitions.status(claim) == "running"
