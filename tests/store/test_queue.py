"""The queue: what waits is offered in order, others hear of it, and what the dead hold is found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from store.generations.acceptance import adopt
from store.generations.flow_runs import Ended
from store.generations.queue import PAGE
from store.store import Store
from store.values import Claim, Queued
from tests.harness.statements import plans_of, statements_of
from tests.store.batch_making import running_batch
from tests.store.making import (
    LEASE,
    OTHER_LEASE,
    OUT_OF_MEMORY,
    RUN,
    a_request,
    accepted,
    brought_to,
    claimed,
    held,
    running,
    taken,
    worker_of,
)
from tests.store.taking import BOTH, all_taken, offered, paused, taking, took

# --- the order, and the choice


async def test_interactive_ones_first_then_by_turn(store: Store) -> None:
    bulk = [(await accepted(store, priority="bulk")).id for _ in range(2)]
    quick = [(await accepted(store)).id for _ in range(2)]

    assert await offered(store, ["bulk"]) == bulk
    assert await offered(store, ["interactive"]) == quick
    assert await offered(store, []) == []
    assert await all_taken(store) == [*quick, *bulk]


async def test_a_retry_goes_behind_all_that_waits(store: Store) -> None:
    again, _ = await brought_to(store, "failed")
    waiting = [await accepted(store) for _ in range(2)]
    await store.transitions.retry(again.id)
    later = await accepted(store)

    ids = [waiting[0].id, waiting[1].id, again.id, later.id]
    places = await store.generations.places(ids)
    assert [places[one].ahead for one in ids] == [0, 1, 2, 3]
    for one in ids:
        generation = await store.generations.get(one)
        assert await store.generations.place(generation) == places[one]
    assert await all_taken(store) == ids


async def test_who_chooses_sees_what_waits(store: Store) -> None:
    batch = await running_batch(store, 1, released=1)
    made = await accepted(store, model="other.safetensors")
    [start] = [one for one in await taken(store) if one.subject == made.id]
    await store.flow_runs.record_flow_run(start, RUN)
    pages: list[Sequence[Queued]] = []

    def look(page: Sequence[Queued]) -> None:
        pages.append(page)

    assert await taking(store, choose=look) is None

    [(one, item)] = pages
    assert one == Queued(
        generation_id=made.id,
        attempt=1,
        priority="interactive",
        model="other.safetensors",
        turn=made.seq,
        cost=made.cost,
        flow_run_id=RUN,
        batch_id=None,
        created_at=made.created_at,
        workflow="txt2img",
    )
    assert (item.priority, item.batch_id, item.flow_run_id) == ("bulk", batch.id, None)
    assert await worker_of(store, made.id) is None


async def test_the_choice_is_heeded(store: Store) -> None:
    await accepted(store)
    wanted = await accepted(store, model="other.safetensors")
    await accepted(store)

    def choose(page: Sequence[Queued]) -> Queued:
        return next(one for one in page if one.model == "other.safetensors")

    assert (await took(store, choose=choose)).generation_id == wanted.id


async def test_only_what_was_offered_can_be_chosen(store: Store) -> None:
    await accepted(store)
    pages: list[Queued] = []

    def keep(page: Sequence[Queued]) -> None:
        pages.extend(page)

    await taking(store, choose=keep)
    await took(store)
    await accepted(store)

    with pytest.raises(ValueError, match="not in list"):
        await taking(store, choose=lambda _: pages[0])


async def test_a_long_queue_is_offered_page_by_page(store: Store) -> None:
    made = await asyncio.gather(*(accepted(store, seed=n) for n in range(PAGE + 6)))
    last = await accepted(store, priority="bulk")
    pages: list[Sequence[Queued]] = []

    def look(page: Sequence[Queued]) -> None:
        pages.append(page)

    assert await taking(store, choose=look) is None

    in_turn = [*sorted(made, key=lambda one: one.seq), last]
    assert [len(page) for page in pages] == [PAGE, 7]
    assert [one.generation_id for page in pages for one in page] == [one.id for one in in_turn]


async def test_it_is_read_by_its_index(fresh_store: Store) -> None:
    """Without a sort, which would read the whole queue; and what is held, without the queue."""
    store = fresh_store
    for _ in range(3):
        await accepted(store)
    await took(store)

    plans = await plans_of(store.database, taking(store, choose=lambda _: None))
    held_plan = await plans_of(store.database, store.queue.held_by_others([OTHER_LEASE]))
    untold_plan = await plans_of(store.database, store.queue.untold(10))

    assert plans.count("ix_generations_queue") == len(BOTH)
    assert "SCAN" not in plans.upper().replace("INDEX SCAN", "").replace("BITMAP HEAP SCAN", "")
    assert "TEMP B-TREE" not in plans
    assert "Sort" not in plans
    assert "ix_attempts_held" in held_plan
    assert "ix_attempts_untold" in untold_plan


async def test_a_claim_is_a_few_statements_however_much_waits(store: Store) -> None:
    for _ in range(3):
        await accepted(store)
    with statements_of(store.database) as few:
        await took(store)
    for _ in range(30):
        await accepted(store)
    with statements_of(store.database) as many:
        await took(store)

    # One page more where the first was not full.
    assert len(many) == len(few) <= 14


# --- signals


Act = Callable[[Store], Awaitable[object]]
Prepare = Callable[[Store], Awaitable[Act]]


async def _acceptance(_: Store) -> Act:
    return accepted


async def _release(store: Store) -> Act:
    batch = await running_batch(store, 2)
    return lambda store: store.batch_transitions.release(batch.id, 2)


async def _retry(store: Store) -> Act:
    made, _ = await brought_to(store, "failed")
    return lambda store: store.transitions.retry(made.id)


async def _let_go(store: Store) -> Act:
    made, _ = await held(store)
    return lambda store: store.flow_runs.let_go(made.id, RUN, made.fence)


async def _unclaim(store: Store) -> Act:
    _, claim = await held(store)
    return lambda store: store.transitions.unclaim(claim)


async def _give_back(store: Store) -> Act:
    await held(store)
    return lambda store: store.flow_runs.give_back(RUN, LEASE)


async def _adopt(_: Store) -> Act:
    return lambda store: adopt(store.database, RUN, a_request(), RUN)


async def _resume(store: Store) -> Act:
    made = await paused(store)
    return lambda store: store.flow_runs.rejoin(made.id, RUN, 1, rerun=False)


async def _run_again(store: Store) -> Act:
    made, claim = await held(store)
    await store.transitions.fail(claim, OUT_OF_MEMORY)
    return lambda store: store.flow_runs.begin_again(made.id, RUN, Ended(1))


@pytest.mark.parametrize(
    "prepare",
    [
        _acceptance,
        _release,
        _retry,
        _let_go,
        _unclaim,
        _give_back,
        _adopt,
        _resume,
        _run_again,
    ],
)
async def test_other_processes_hear_of_what_may_be_taken(
    store: Store, url: str, tmp_path: Path, prepare: Prepare
) -> None:
    act = await prepare(store)
    told = asyncio.Event()
    async with Store(url, str(tmp_path / "images")) as other:  # it heard nothing before
        assert other.queue.hears
        with other.queue.listening(told.set):
            await act(store)
            async with asyncio.timeout(60):
                await told.wait()
        assert await taking(other) is not None


# --- whose holders may be dead


async def test_what_the_dead_hold_is_found(store: Store) -> None:
    await accepted(store)
    made = [await accepted(store) for _ in range(4)]
    mine = await running(store, made[0].id, lease=LEASE)
    await running(store, made[1].id, lease=OTHER_LEASE, flow_run_id=RUN)
    await claimed(store, made[2].id, lease=OTHER_LEASE)
    await claimed(store, made[3].id, lease=OTHER_LEASE)
    await store.transitions.request_cancel(made[3].id)
    await brought_to(store, "failed")
    await store.transitions.delete((await running_one(store)).generation_id)

    found = await store.queue.held_by_others([LEASE])

    assert [one.generation.id for one in found] == [one.id for one in made[1:]]
    assert {one.holder for one in found} == {OTHER_LEASE}
    assert len(await store.queue.held_by_others([])) == 4
    assert await store.queue.held_by_others([LEASE, OTHER_LEASE]) == ()
    assert await store.transitions.status(mine) == "running"


async def running_one(store: Store) -> Claim:
    return await running(store, (await accepted(store)).id, lease=OTHER_LEASE)
