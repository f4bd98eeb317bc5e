"""Workers take what waits: each row once, with all that is written with the claim."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import select

from core.requests import UnreadableRequest
from core.status import Status
from store.database import Database
from store.errors import FencedError
from store.generations.queue import PAGE, Queue
from store.store import Store
from store.tables import generations
from store.values import Queued, Stray
from tests.harness.databases import at_once
from tests.harness.transactions import open_write
from tests.store.batch_making import running_batch
from tests.store.making import (
    LEASE,
    OTHER_LEASE,
    RUN,
    accepted,
    brought_to,
    claimed,
    dispatched,
    held,
    taken,
    worker_of,
)
from tests.store.other_versions import rewritten, stored_as, without_a_field
from tests.store.taking import BOTH, a_holder, all_taken, first, offered, paused, taking, took

DEPLOYMENT: Final = UUID(int=41)


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
