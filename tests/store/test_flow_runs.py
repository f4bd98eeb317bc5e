"""Flow runs of what workers took: recorded, told of how it ended, and back in the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from core.problems import problem
from core.status import Status
from store.errors import DeletedError, NotFoundError
from store.generations.flow_runs import Ended, Rejoined
from store.store import Store
from store.tables import attempts
from store.values import Claim
from tests.harness.transactions import open_read
from tests.store.making import (
    LEASE,
    NEVER,
    OTHER_RUN,
    OUT_OF_MEMORY,
    RUN,
    accepted,
    an_image,
    brought_to,
    dispatched,
    empty_outbox,
    held,
    taken,
)
from tests.store.taking import offered, paused, took

STAGES: Final = ({"name": "render", "seconds": 2.5}, {"name": "save", "text": "a red fox"})
DEPLOYMENT: Final = UUID(int=41)


# --- what Prefect is told afterwards


Ending = Callable[[Store, Claim], Awaitable[object]]
ENDINGS: dict[Status, Ending] = {
    "succeeded": lambda s, c: s.transitions.succeed(c, [an_image(c)], stages=STAGES),
    "failed": lambda s, c: s.transitions.fail(c, OUT_OF_MEMORY, stages=STAGES),
    "cancelled": lambda s, c: s.transitions.cancelled(c, stages=STAGES),
}


@pytest.mark.parametrize("outcome", ENDINGS)
async def test_prefect_is_to_be_told_how_it_ended(store: Store, outcome: Status) -> None:
    made = await accepted(store)
    claim = await took(store)
    assert await store.flow_runs.record_run(made.id, 1, RUN, DEPLOYMENT)
    assert await store.queue.untold(10) == ()

    await ENDINGS[outcome](store, claim)

    [untold] = await store.queue.untold(10)
    assert (untold.generation_id, untold.attempt, untold.outcome) == (made.id, 1, outcome)
    assert (untold.flow_run_id, untold.deployment_id) == (RUN, DEPLOYMENT)
    assert (untold.holder, untold.worker, untold.stages) == (LEASE, "gpu-1", STAGES)
    assert untold.error == (OUT_OF_MEMORY if outcome == "failed" else None)
    assert untold.ended_at == (await store.generations.get(made.id)).finished_at
    assert await store.queue.untold(10, [LEASE]) == ()
    assert await store.queue.untold(10, [uuid4()]) == (untold,)
    assert (
        await store.queue.untold(10, leads=lambda one, number: (one, number) == (made.id, 1)) == ()
    )

    await store.flow_runs.told(made.id, 1)
    assert await store.queue.untold(10) == ()


async def test_one_of_many_tells_prefect_of_what_a_dead_worker_ended(store: Store) -> None:
    made = await accepted(store)
    claim = await took(store)
    assert await store.flow_runs.record_run(made.id, 1, RUN, DEPLOYMENT)
    assert not await store.queue.is_untold(RUN)
    await store.transitions.fail(claim, OUT_OF_MEMORY, stages=STAGES)
    assert await store.queue.is_untold(RUN)
    [untold] = await store.queue.untold(10)
    others = [uuid4() for _ in range(4)]
    won = await asyncio.gather(*(store.queue.take_untold(untold, lease) for lease in others))
    assert sorted(won) == [False, False, False, True]
    [again] = await store.queue.untold(10)
    assert again.holder == others[won.index(True)]
    await store.flow_runs.told(made.id, 1)
    assert not await store.queue.is_untold(RUN)
    assert not await store.queue.take_untold(again, uuid4())


async def test_who_has_nothing_to_tell_tells_nothing(store: Store) -> None:
    for status in ("succeeded", "failed", "cancelled"):
        await brought_to(store, status)
    lost, _ = await held(store)
    await store.flow_runs.settle(lost.id, RUN, "failed", problem("run_failed", "gone"))

    assert await store.queue.untold(10) == ()


async def test_no_stages_at_all_are_something_to_tell(store: Store) -> None:
    await accepted(store)
    await store.transitions.cancelled(await took(store), stages=[])

    [untold] = await store.queue.untold(10)
    assert untold.stages == ()


async def test_the_oldest_is_told_first(store: Store) -> None:
    for _ in range(3):
        await accepted(store)
    claims = [await took(store) for _ in range(3)]
    for claim in reversed(claims):
        await store.transitions.fail(claim, OUT_OF_MEMORY, stages=STAGES)

    found = await store.queue.untold(2)

    ids = [claim.generation_id for claim in claims]
    assert [one.generation_id for one in found] == [ids[2], ids[1]]
    # Those that are led already are not counted.
    found = await store.queue.untold(2, leads=lambda one, _: one == ids[2])
    assert [one.generation_id for one in found] == [ids[1], ids[0]]


async def test_a_former_attempt_is_still_to_be_told(store: Store) -> None:
    made = await accepted(store)
    await store.transitions.fail(await took(store), OUT_OF_MEMORY, stages=STAGES)
    await store.transitions.retry(made.id)

    [untold] = await store.queue.untold(10)
    assert (untold.attempt, untold.error) == (1, OUT_OF_MEMORY)


async def test_a_repeated_end_is_the_same_end(store: Store) -> None:
    """The first one's stages are kept."""
    made = await accepted(store)
    claim = await took(store)
    await store.transitions.succeed(claim, [], stages=STAGES)

    await store.transitions.succeed(claim, [], stages=[])
    assert not await store.transitions.fail(claim, OUT_OF_MEMORY, stages=[])

    [untold] = await store.queue.untold(10)
    assert (untold.generation_id, untold.stages) == (made.id, STAGES)


async def test_what_was_deleted_is_not_told(store: Store) -> None:
    """Its stages may hold its texts."""
    made = await accepted(store)
    await store.transitions.fail(await took(store), OUT_OF_MEMORY, stages=STAGES)

    await store.transitions.delete(made.id)

    assert await store.queue.untold(10) == ()
    async with open_read(store.database) as connection:
        left = await connection.execute(select(attempts.c.stages, attempts.c.error))
        assert left.tuples().all() == [(None, None)]


# --- the flow runs


async def test_a_worker_s_run_is_recorded(store: Store) -> None:
    made = await accepted(store)
    await accepted(store, priority="bulk")
    claim = await took(store)

    assert await store.flow_runs.record_run(made.id, 1, RUN, DEPLOYMENT)

    now = await store.generations.get(made.id)
    assert (now.flow_run_id, now.fence) == (RUN, claim.fence)
    [attempt] = await store.generations.attempts(made.id)
    assert attempt.flow_run_id == RUN
    [seen] = await store.queue.held_by_others([])
    assert seen.deployment_id == DEPLOYMENT
    assert await store.transitions.status(claim) == "queued"

    assert await store.flow_runs.record_run(made.id, 1, RUN, DEPLOYMENT)
    assert await store.generations.get(made.id) == now


async def test_a_run_needs_no_dispatch(store: Store) -> None:
    made = await accepted(store)

    await store.flow_runs.record_run(made.id, 1, RUN, DEPLOYMENT)

    assert await dispatched(store, made.id) == []


async def test_a_dispatch_under_way_stays_its_runner_s(store: Store) -> None:
    made = await accepted(store)
    [start] = await taken(store)

    await store.flow_runs.record_run(made.id, 1, RUN, DEPLOYMENT)

    assert await dispatched(store, made.id) == [("start", 1)]
    assert await store.flow_runs.record_flow_run(start, RUN, DEPLOYMENT)


async def test_the_run_of_a_former_attempt_is_recorded_there(store: Store) -> None:
    made, _ = await brought_to(store, "failed")
    await store.transitions.retry(made.id)

    assert await store.flow_runs.record_run(made.id, 1, OTHER_RUN, DEPLOYMENT)

    assert (await store.generations.get(made.id)).flow_run_id is None
    former, newest = await store.generations.attempts(made.id)
    assert (former.flow_run_id, newest.flow_run_id) == (OTHER_RUN, None)
    assert await dispatched(store, made.id) == [("start", 2)]


async def test_the_run_of_what_was_deleted_is_deleted(store: Store) -> None:
    made = await accepted(store)
    await store.transitions.delete(made.id)
    await empty_outbox(store)

    assert not await store.flow_runs.record_run(made.id, 1, RUN, DEPLOYMENT)

    assert await dispatched(store, made.id) == [("forget", 1)]
    [attempt] = await store.generations.attempts(made.id)
    assert attempt.flow_run_id == RUN


async def test_the_run_of_nothing_is_not_recorded(store: Store) -> None:
    with pytest.raises(NotFoundError):
        await store.flow_runs.record_run(NEVER, 1, RUN, DEPLOYMENT)


# --- a run that comes due


async def _ended(store: Store, status: Status) -> UUID:
    made, claim = await held(store)
    await ENDINGS[status](store, claim)
    await store.flow_runs.told(made.id, 1)
    return made.id


async def _cancelled_by_a_client(store: Store) -> UUID:
    """Before any worker had it; its run does not know yet."""
    made = await accepted(store)
    await store.flow_runs.record_run(made.id, 1, RUN, None)
    await store.transitions.request_cancel(made.id)
    return made.id


async def _cancelling(store: Store) -> UUID:
    made, _ = await held(store)
    return (await store.transitions.request_cancel(made.id)).id


async def _retried(store: Store) -> UUID:
    """It has no run now, and another attempt."""
    made_id = await _ended(store, "failed")
    return (await store.transitions.retry(made_id)).id


async def _paused(store: Store) -> UUID:
    return (await paused(store)).id


async def _let_go_again(store: Store) -> UUID:
    made, claim = await held(store)
    await store.transitions.unclaim(claim)
    return made.id


async def _running(store: Store) -> UUID:
    return (await held(store))[0].id


async def _failed(store: Store) -> UUID:
    return await _ended(store, "failed")


async def _cancelled(store: Store) -> UUID:
    return await _ended(store, "cancelled")


async def _succeeded(store: Store) -> UUID:
    return await _ended(store, "succeeded")


Bring = Callable[[Store], Awaitable[UUID]]
CASES: list[tuple[Bring, UUID, int | None, bool, Rejoined | Ended]] = [
    (_failed, RUN, 1, True, Ended(1)),
    (_cancelled, RUN, 1, True, Ended(1)),
    (_failed, RUN, 1, False, "over"),
    (_failed, OTHER_RUN, 1, True, "over"),
    (_cancelled_by_a_client, RUN, 1, True, "over"),
    (_succeeded, RUN, 1, True, "over"),
    (_cancelling, RUN, 1, True, "over"),
    (_retried, RUN, 1, True, "over"),
    (_retried, RUN, None, True, "waits"),
    (_paused, RUN, 1, False, "joined"),
    (_paused, RUN, 1, True, "joined"),
    (_let_go_again, RUN, 1, True, "waits"),
    (_running, RUN, 1, False, "waits"),
    (_running, OTHER_RUN, 1, False, "waits"),
    (_running, OTHER_RUN, 2, False, "over"),
]


@pytest.mark.parametrize(("bring", "run", "attempt", "rerun", "found"), CASES)
async def test_what_a_run_that_comes_due_finds(
    store: Store,
    bring: Bring,
    run: UUID,
    attempt: int | None,
    rerun: bool,
    found: Rejoined | Ended,
) -> None:
    generation_id = await bring(store)
    before = await store.generations.get(generation_id)

    assert await store.flow_runs.rejoin(generation_id, run, attempt, rerun=rerun) == found

    now = await store.generations.get(generation_id)
    if found == "joined":
        assert (now.status, now.waiting, now.flow_run_id) == ("queued", None, RUN)
        assert now.attempt == 1
        assert await offered(store) == [generation_id]
        assert await store.flow_runs.rejoin(generation_id, run, now.attempt, rerun=True) == (
            "waits"
        )
    elif before.flow_run_id is not None:
        assert now == before
    else:
        assert (now.status, now.flow_run_id) == (before.status, None if found == "over" else run)


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
async def test_a_run_that_is_put_back_to_be_told_is_no_retry(store: Store, outcome: Status) -> None:
    made = await accepted(store)
    claim = await took(store)
    assert await store.flow_runs.record_run(made.id, 1, RUN, DEPLOYMENT)
    await ENDINGS[outcome](store, claim)

    assert await store.flow_runs.rejoin(made.id, RUN, 1, rerun=True) == "over"
    assert (await store.generations.get(made.id)).status == outcome

    await store.flow_runs.told(made.id, 1)
    assert await store.flow_runs.rejoin(made.id, RUN, 1, rerun=True) == Ended(1)


@pytest.mark.parametrize("bring", [_failed, _cancelled])
async def test_what_has_ended_begins_again_once_for_a_run_that_was_retried(
    store: Store, bring: Bring
) -> None:
    generation_id = await bring(store)
    before = await store.generations.get(generation_id)
    for run, ended in ((OTHER_RUN, Ended(1)), (RUN, Ended(2))):
        assert not await store.flow_runs.begin_again(generation_id, run, ended)
    assert await store.generations.get(generation_id) == before

    assert await store.flow_runs.begin_again(generation_id, RUN, Ended(1))

    now = await store.generations.get(generation_id)
    assert (now.status, now.attempt, now.flow_run_id) == ("queued", 2, RUN)
    assert await offered(store) == [generation_id]
    assert await store.flow_runs.rejoin(generation_id, RUN, 1, rerun=True) == "waits"
    for ended in (Ended(1), Ended(2)):
        assert not await store.flow_runs.begin_again(generation_id, RUN, ended)
    assert await store.generations.get(generation_id) == now


async def test_what_was_deleted_does_not_begin_again(store: Store) -> None:
    made_id = await _failed(store)
    await store.transitions.delete(made_id)

    with pytest.raises(DeletedError):
        await store.flow_runs.begin_again(made_id, RUN, Ended(1))


async def test_a_run_is_recorded_for_what_has_none(store: Store) -> None:
    made = await accepted(store)

    assert await store.flow_runs.rejoin(made.id, RUN, 1, rerun=False) == "waits"

    assert (await store.generations.get(made.id)).flow_run_id == RUN
    [attempt] = await store.generations.attempts(made.id)
    assert attempt.flow_run_id == RUN


async def test_a_run_of_what_is_gone_is_told_so(store: Store) -> None:
    made = await accepted(store)
    await store.transitions.delete(made.id)

    with pytest.raises(DeletedError):
        await store.flow_runs.rejoin(made.id, RUN, 1, rerun=False)
    with pytest.raises(NotFoundError):
        await store.flow_runs.rejoin(NEVER, RUN, 1, rerun=False)
