"""The queue: workers take what waits, each row once, and Prefect is told of it later."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from core.problems import problem
from core.requests import UnreadableRequest
from core.status import Status
from store.database import Database
from store.errors import DeletedError, FencedError, NotFoundError
from store.generations.acceptance import adopt
from store.generations.flow_runs import Ended, Rejoined
from store.generations.queue import PAGE, Queue
from store.store import Store
from store.tables import attempts, generations
from store.values import Claim, Generation, Holder, Queued, Stray
from tests.harness.databases import at_once
from tests.harness.statements import plans_of, statements_of
from tests.harness.transactions import open_read, open_write
from tests.store.batch_making import running_batch
from tests.store.making import (
    COMFY,
    LEASE,
    NEVER,
    OTHER_LEASE,
    OTHER_RUN,
    OUT_OF_MEMORY,
    PAUSED,
    RUN,
    a_request,
    accepted,
    an_image,
    brought_to,
    claimed,
    dispatched,
    empty_outbox,
    held,
    running,
    taken,
    worker_of,
)
from tests.store.other_versions import rewritten, stored_as, without_a_field

BOTH: Final = ("interactive", "bulk")
STAGES: Final = ({"name": "render", "seconds": 2.5}, {"name": "save", "text": "a red fox"})
DEPLOYMENT: Final = UUID(int=41)


def first(offered: Sequence[Queued]) -> Queued | None:
    return offered[0]


def a_holder(lease: UUID = LEASE) -> Holder:
    return Holder("gpu-1", lease, COMFY)


async def taking(store: Store, lease: UUID = LEASE, **options: Any) -> Claim | None:
    return await store.queue.take(
        a_holder(lease), **{"choose": first, "priorities": BOTH, **options}
    )


async def took(store: Store, lease: UUID = LEASE, **options: Any) -> Claim:
    claim = await taking(store, lease, **options)
    assert claim is not None
    return claim


async def all_taken(store: Store) -> list[UUID]:
    """Whatever waits, in the order in which it is taken."""
    found = []
    while claim := await taking(store):
        found.append(claim.generation_id)
    return found


async def offered(store: Store, priorities: Sequence[str] = BOTH) -> list[UUID]:
    """What a worker may choose from; it leaves all of it."""
    seen: list[Queued] = []

    def look(page: Sequence[Queued]) -> None:
        seen.extend(page)

    assert await store.queue.take(a_holder(), look, priorities) is None
    return [one.generation_id for one in seen]


async def paused(store: Store) -> Generation:
    """Its flow run RUN was paused by an operator."""
    made, _ = await held(store)
    assert await store.flow_runs.let_go(made.id, RUN, made.fence, PAUSED)
    return await store.generations.get(made.id)


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


# --- each row once


async def test_a_claim_is_the_attempt_s(store: Store) -> None:
    batch = await running_batch(store, 1, released=1)
    [start] = await taken(store)
    await store.flow_runs.record_flow_run(start, RUN, DEPLOYMENT)
    made = await store.generations.get(start.subject)

    claim = await took(store)

    assert (claim.generation_id, claim.attempt, claim.fence) == (made.id, 1, made.fence + 1)
    assert (claim.flow_run_id, claim.deployment_id, claim.batch_id) == (RUN, DEPLOYMENT, batch.id)
    assert (claim.created_at, claim.request) == (made.created_at, made.request)
    assert (claim.submitted_before, claim.intent_written) == (False, False)
    assert await worker_of(store, made.id) == "gpu-1"
    assert await store.transitions.status(claim) == "queued"
    assert await taking(store) is None


async def test_a_claim_by_a_run_says_the_same(store: Store) -> None:
    made = await accepted(store)

    claim = await store.transitions.claim(
        made.id, flow_run_id=RUN, attempt=1, holder=a_holder(), deployment_id=DEPLOYMENT
    )

    assert (claim.flow_run_id, claim.deployment_id) == (RUN, DEPLOYMENT)
    assert (claim.batch_id, claim.created_at) == (None, made.created_at)


async def test_what_has_no_run_yet_is_taken_without_one(store: Store) -> None:
    made = await accepted(store)

    claim = await took(store)

    assert (claim.flow_run_id, claim.deployment_id) == (None, None)
    assert (await store.generations.get(made.id)).flow_run_id is None


async def test_workers_at_once_take_each_row_once(url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(Store(url, str(tmp_path / "images"))) for _ in range(4)
        ]
        made = await asyncio.gather(*(accepted(stores[0], seed=n) for n in range(60)))

        each = await asyncio.gather(*(_takes_all(store) for store in stores for _ in range(2)))

    found = [one for some in each for one in some]
    assert len(found) == 60
    assert set(found) == {one.id for one in made}


async def _takes_all(store: Store) -> list[UUID]:
    """Until nothing is left; what another has locked at a moment may be given back by it."""
    found: list[UUID] = []
    lease = uuid.uuid4()
    while True:
        claim = await taking(store, lease)
        if claim is not None:
            found.append(claim.generation_id)
        elif not await _any_waits(store):
            return found


async def _any_waits(store: Store) -> bool:
    return any(one.holder is None for one in await store.generations.under_way(1, 0))


async def test_what_others_have_locked_is_left_to_them(
    kind: str, store: Store, second: Store
) -> None:
    if kind != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    made = [await accepted(store) for _ in range(3)]
    asked: list[int] = []

    def choose(page: Sequence[Queued]) -> Queued:
        asked.append(len(page))
        return page[0]

    locked = select(generations.c.id).where(generations.c.id.in_([made[0].id, made[1].id]))
    async with open_write(second.database) as connection:
        await connection.execute(locked.with_for_update())
        claim = await took(store, choose=choose)
        assert await taking(store) is None  # and no wait for them

    assert claim.generation_id == made[2].id
    assert asked == [3, 2, 1]
    assert await all_taken(store) == [made[0].id, made[1].id]


async def test_who_was_slower_is_asked_again(kind: str, store: Store, tmp_path: Path) -> None:
    """Between its page and its lock another worker took the row, and was done with it."""
    if kind != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    made = [await accepted(store) for _ in range(2)]
    asked: list[list[UUID]] = []

    async def other() -> None:
        async with Database(store.database.url) as database:
            claim = await Queue(database).take(a_holder(OTHER_LEASE), first, BOTH)
            assert claim is not None

    def choose(page: Sequence[Queued]) -> Queued:
        asked.append([one.generation_id for one in page])
        if len(asked) == 1:
            at_once(other())
        return page[0]

    claim = await took(store, choose=choose)

    assert claim.generation_id == made[1].id
    assert asked == [[made[0].id, made[1].id], [made[1].id]]
    [held_by_other] = await store.queue.held_by_others([LEASE])
    assert held_by_other.generation.id == made[0].id


async def test_the_page_is_read_again_when_all_of_it_was_lost(
    kind: str, store: Store, second: Store
) -> None:
    if kind != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    made = await asyncio.gather(*(accepted(store, seed=n) for n in range(PAGE + 1)))
    in_turn = [one.id for one in sorted(made, key=lambda one: one.seq)]
    asked: list[int] = []

    def choose(page: Sequence[Queued]) -> Queued:
        asked.append(len(page))
        return page[0]

    locked = select(generations.c.id).where(generations.c.id.in_(in_turn[:PAGE]))
    async with open_write(second.database) as connection:
        await connection.execute(locked.with_for_update())
        claim = await took(store, choose=choose)

    assert claim.generation_id == in_turn[PAGE]
    assert asked == [*range(PAGE, 0, -1), 1]


async def test_what_does_not_wait_is_not_taken(store: Store) -> None:
    statuses: tuple[Status, ...] = ("running", "cancelling", "succeeded", "failed", "cancelled")
    for status in statuses:
        await brought_to(store, status)
    await claimed(store, (await accepted(store)).id)
    await store.transitions.delete((await accepted(store)).id)
    await paused(store)

    assert await offered(store) == []
    assert await taking(store) is None


async def test_other_reasons_to_wait_hold_nothing_up(store: Store) -> None:
    made = [await accepted(store) for _ in range(3)]
    for one, stored in zip(made, ({"code": "other", "detail": ""}, {}, ["strange"]), strict=True):
        await stored_as(store, one.id, waiting=stored)

    assert await all_taken(store) == [one.id for one in made]


async def test_what_was_given_back_is_taken_again(store: Store) -> None:
    made = await accepted(store)
    lost = await took(store)
    await store.transitions.start(lost, datetime.now(UTC))

    assert await store.flow_runs.let_go(made.id, None, (await store.generations.get(made.id)).fence)
    again = await took(store, OTHER_LEASE)

    assert (again.generation_id, again.attempt) == (made.id, 1)
    assert again.fence > lost.fence
    with pytest.raises(FencedError):
        await store.transitions.status(lost)


async def test_without_a_run_only_what_has_none_is_let_go(store: Store) -> None:
    made, _ = await held(store)

    assert not await store.flow_runs.let_go(made.id, None, made.fence)
    assert await worker_of(store, made.id) == "gpu-1"


async def test_an_unreadable_request_fails_and_the_next_is_taken(store: Store) -> None:
    broken = await accepted(store)
    await rewritten(store, broken.id, without_a_field)
    made = await accepted(store)

    claim = await took(store)

    assert claim.generation_id == made.id
    now = await store.generations.get(broken.id)
    assert isinstance(now.request, UnreadableRequest)
    assert now.status == "failed"
    assert now.error is not None
    assert now.error.code == "unreadable_document"
    [attempt] = await store.generations.attempts(broken.id)
    assert (attempt.outcome, attempt.error) == ("failed", now.error)


async def test_an_unreadable_request_fails_though_nothing_else_waits(store: Store) -> None:
    broken = await accepted(store)
    await rewritten(store, broken.id, without_a_field)

    assert await taking(store) is None
    assert (await store.generations.get(broken.id)).status == "failed"


async def test_the_next_comfyui_leaves_a_stray_behind(store: Store) -> None:
    made = await accepted(store)
    there = await claimed(store, made.id, comfy_url="http://gpu-2:8188")
    await store.transitions.record_submission(there)
    await store.transitions.unclaim(there)

    claim = await took(store, may_post=lambda _: True)

    assert (claim.submitted_before, claim.intent_written) == (True, False)
    stray = Stray(claim.prompt_id, "http://gpu-2:8188")
    assert await store.strays.of("http://gpu-2:8188") == (stray,)


# --- what is written with the claim


async def test_the_intent_is_written_where_it_may_be(store: Store) -> None:
    made = [await accepted(store, model=model) for model in ("free", "paid")]

    claims = [await took(store, may_post=lambda one: one.model == "free") for _ in made]

    assert [claim.intent_written for claim in claims] == [True, False]
    assert not any(claim.submitted_before for claim in claims)
    [with_intent], [without] = [await store.generations.attempts(one.id) for one in made]
    assert with_intent.submitted_at == claims[0].submitted_at is not None
    assert without.submitted_at is None
    assert not await store.transitions.record_submission(claims[0])
    assert await store.transitions.record_submission(claims[1])


async def test_the_intent_can_be_repeated_and_taken_back(store: Store) -> None:
    await accepted(store)
    claim = await took(store, may_post=lambda _: True)
    assert claim.submitted_at is not None

    assert await store.transitions.record_submission(claim, claim.submitted_at)
    await store.transitions.withdraw_submission(claim, claim.submitted_at)
    await store.transitions.unclaim(claim)

    assert (await took(store, may_post=lambda _: True)).intent_written


async def test_an_intent_is_not_written_twice(store: Store) -> None:
    made = await accepted(store)
    former = await took(store, may_post=lambda _: True)
    await store.transitions.unclaim(former)

    claim = await took(store, OTHER_LEASE, may_post=lambda _: True)

    assert (claim.submitted_before, claim.intent_written) == (True, False)
    [attempt] = await store.generations.attempts(made.id)
    assert attempt.submitted_at == former.submitted_at


async def test_its_start_is_left_out_unless_a_runner_has_it(store: Store) -> None:
    being_started = await accepted(store)
    [start] = await taken(store)
    made = await accepted(store)
    other = await accepted(store, priority="bulk")

    assert [(await took(store)).generation_id for _ in range(2)] == [being_started.id, made.id]

    assert await dispatched(store, being_started.id) == [("start", 1)]
    assert await dispatched(store, made.id) == []
    assert await dispatched(store, other.id) == [("start", 1)]
    assert await store.flow_runs.record_flow_run(start, RUN)
    assert (await store.generations.get(being_started.id)).flow_run_id == RUN


async def test_only_the_start_of_its_attempt_is_left_out(store: Store) -> None:
    """That of a former one may still be there; it finds its attempt over."""
    made = await accepted(store)
    await store.transitions.request_cancel(made.id)
    await store.transitions.retry(made.id)

    await took(store)

    assert await dispatched(store, made.id) == [("start", 1), ("cancel", 1)]


async def test_what_is_held_without_a_run_is_not_dispatched_again(store: Store) -> None:
    """Who holds it makes the run. When it is let go, nobody would."""
    made = await accepted(store)
    claim = await took(store)
    later = datetime.now(UTC) + timedelta(seconds=1)

    assert await store.generations.undispatched(later) == ()
    await store.transitions.unclaim(claim)

    assert [one.id for one in await store.generations.undispatched(later)] == [made.id]


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
