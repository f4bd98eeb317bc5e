"""Runners of the outbox: lanes side by side, no entry in two hands, none lost with a process."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, func, insert, select

from store import outbox_runner
from store.errors import StoreUnavailableError
from store.leases import Lease
from store.outbox_runner import (
    CLAIMS_AT_ONCE,
    Blocked,
    Done,
    Handler,
    OutboxRunner,
    Outcome,
    PutOff,
)
from store.store import Store
from store.tables import outbox
from store.values import Entry
from tests.harness.processes import REPOSITORY
from tests.harness.transactions import open_read, open_write
from tests.store.making import wait_until
from tests.store.outbox_work import KIND, LANE, a_runner, write

OTHER_LANE: Final = "test b"
SHORT_S: Final = 1.0


class Work:
    """A handler that notes what it does; it goes on when ``may_go_on`` is set."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes)
        self.under_work: Counter[UUID] = Counter()
        self.most_at_once: Counter[UUID] = Counter()
        self.begun: list[int] = []
        self.done: list[int] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def __call__(self, entry: Entry) -> Outcome:
        self.under_work[entry.subject] += 1
        self.most_at_once[entry.subject] = max(
            self.most_at_once[entry.subject], self.under_work[entry.subject]
        )
        self.begun.append(entry.id)
        await asyncio.sleep(0)
        await self.may_go_on.wait()
        self.under_work[entry.subject] -= 1
        outcome = self.outcomes.pop(0) if self.outcomes else Done()
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, Done):
            self.done.append(entry.id)
        return outcome


async def is_empty(store: Store) -> bool:
    return await _are_left(store, 0)


async def _are_left(store: Store, count: int) -> bool:
    return await store.outbox.count([KIND]) == count


async def test_two_runners_do_everything_once(store: Store, second: Store) -> None:
    """No entry is in both hands, nor are two of one subject, and those keep their order."""
    work = Work()
    subjects = await write(store, 10)
    for subject in subjects:
        await write(store, 4, subject=subject)

    async with a_runner(store, work, name="one"), a_runner(second, work, name="two"):
        await wait_until(lambda: is_empty(store))

    assert len(work.done) == len(set(work.begun)) == len(work.begun) == 50
    assert set(work.most_at_once.values()) == {1}


async def test_the_next_of_a_subject_waits_for_the_one_before(store: Store, second: Store) -> None:
    work = Work()
    work.may_go_on.clear()
    [subject] = await write(store)
    async with a_runner(store, work, name="one"):
        await wait_until(lambda: _async(len(work.begun) == 1))
        await write(store, subject=subject, rank=-1)
        await write(store)
        async with a_runner(second, work, name="two"):
            await wait_until(lambda: _async(len(work.begun) == 2))
            third = work.begun[1]
            work.may_go_on.set()
            await wait_until(lambda: is_empty(store))

    first, *_ = work.begun
    assert work.begun == [first, third, first + 1]
    assert third == first + 2


async def test_a_lane_that_hangs_holds_up_no_other(store: Store) -> None:
    hung, work = Work(), Work()
    hung.may_go_on.clear()

    async def handler(entry: Entry) -> Outcome:
        return await (hung if entry.lane == LANE else work)(entry)

    async with a_runner(store, handler) as runner:
        await write(store, 20)
        await wait_until(lambda: _async(len(hung.begun) == 4))
        await write(store, 10, lane=OTHER_LANE)
        runner.wake()
        await wait_until(lambda: _async(len(work.done) == 10))
        assert len(hung.begun) == 4
        hung.may_go_on.set()
        await wait_until(lambda: is_empty(store))


async def test_a_lane_that_is_blocked_says_why_and_is_tried_one_at_a_time(store: Store) -> None:
    work, away = Work(), True

    async def handler(entry: Entry) -> Outcome:
        if entry.lane == LANE and away:
            tried.append(entry.id)
            return Blocked("it is away", 600)
        return await work(entry)

    tried: list[int] = []
    await write(store, 8)
    await write(store, 8, lane=OTHER_LANE)
    async with a_runner(store, handler) as runner:
        await wait_until(lambda: _async(len(work.done) == 8))
        await wait_until(lambda: _async(len(tried) == 6))
        assert runner.blocked == {LANE: "it is away"}
        away = False
        await wait_until(lambda: _are_left(store, 6))  # those that were put off
        assert runner.blocked == {}

    assert len(work.done) == 10
    assert len(set(tried)) == 6


async def test_a_lane_in_which_nothing_waits_any_more_is_not_blocked(store: Store) -> None:
    """Another process may have done it all."""
    await write(store)
    async with a_runner(store, Work(Blocked("it is away", 600))) as runner:
        await wait_until(lambda: _async(LANE in runner.blocked))
        async with open_write(store.database) as connection:
            await connection.execute(delete(outbox))
        await wait_until(lambda: _async(not runner.blocked))


async def test_one_that_cannot_be_done_holds_up_no_other(store: Store) -> None:
    work = Work(RuntimeError("what is this?"))
    await write(store, 5)

    async with a_runner(store, work, together=1) as runner:
        await wait_until(lambda: _are_left(store, 1))
        assert runner.blocked == {}

    assert len(work.done) == 4


async def test_put_off_and_done_when_it_is_due(store: Store) -> None:
    work = Work(PutOff("not yet", 0.3), PutOff("not yet", 0.0))
    await write(store)

    async with a_runner(store, work):
        await wait_until(lambda: is_empty(store))

    assert len(work.begun) == 3


@pytest.fixture
def a_calm_runner(monkeypatch: pytest.MonkeyPatch) -> Callable[[Store, Handler], OutboxRunner]:
    """While nothing is to be done, its look for a lost signal would come in an hour."""
    monkeypatch.setattr(outbox_runner, "CALM_LOOK_EVERY_S", 3600.0)
    return partial(a_runner, lease_s=36_000.0)  # a short one would have it look sooner


async def test_a_calm_runner_does_what_falls_due(
    store: Store, a_calm_runner: Callable[[Store, Handler], OutboxRunner]
) -> None:
    """The store has said when."""
    work = Work()
    async with a_calm_runner(store, work):
        await write(store, due_at=datetime.now(UTC) + timedelta(seconds=1))
        await wait_until(lambda: is_empty(store))

    assert len(work.done) == 1


async def test_a_calm_runner_that_is_woken_for_a_lane_does_what_that_put_off(
    store: Store, a_calm_runner: Callable[[Store, Handler], OutboxRunner]
) -> None:
    """Work begun without a look changes what the last look knew."""
    work = Work(PutOff("not yet", 0.3))
    async with a_calm_runner(store, work) as runner:
        await wait_until(lambda: _async(runner._is_calm))
        await _write_untold(store)
        runner.wake(LANE)
        await wait_until(lambda: is_empty(store))

    assert len(work.begun) == 2


async def test_a_handler_that_removed_its_entry_is_believed(store: Store) -> None:
    removed = Work(Done(removed=True))
    await write(store)

    async with a_runner(store, removed):
        await wait_until(lambda: _async(len(removed.done) == 1))

    assert await store.outbox.count([KIND]) == 1  # this one did not


async def test_clients_that_are_answered_delay_a_claim_but_never_prevent_it(store: Store) -> None:
    work, done_when_asked = Work(), list[int]()

    def busy() -> bool:
        done_when_asked.append(len(work.done))
        return True  # there is always a client

    await write(store)
    async with a_runner(store, work, busy=busy):
        await wait_until(lambda: is_empty(store))

    assert done_when_asked[:2] == [0, 0]  # asked again before the work began


async def test_after_trouble_with_the_database_nothing_stays_claimed(store: Store) -> None:
    """The lease is short of nothing: the runner gives it up itself, and its claims with it."""
    work = Work(StoreUnavailableError("locked"), Done(), StoreUnavailableError("locked"))
    await write(store, 6)

    async with a_runner(store, work):
        await wait_until(lambda: is_empty(store))

    assert len(set(work.done)) == 6


async def test_two_of_one_name_both_go_on(store: Store, second: Store) -> None:
    """The first finds its lease gone, and goes on under a name of its own."""
    first, other = Work(), Work()
    other.may_go_on.clear()
    async with a_runner(store, first, together=1):
        await write(store)
        await wait_until(lambda: is_empty(store))
        [before] = await store.leases.all()
        async with a_runner(second, other, together=1):
            # Else the first may be at work when its claims are freed: then both do it.
            await wait_until(lambda: _is_another(store, before))
            await write(store)
            await wait_until(lambda: _async(len(other.begun) + len(first.done) == 2))
            await write(store, 3)
            await wait_until(lambda: _async(len(first.done) >= 3))
            other.may_go_on.set()
            await wait_until(lambda: is_empty(store))

    assert len(first.done) + len(other.done) == 5


async def _is_another(store: Store, before: Lease) -> bool:
    """Whether another has taken the lease of that name."""
    leases = {lease.name: lease for lease in await store.leases.all()}
    return leases[before.name].holder != before.holder


# --- runners that die


@asynccontextmanager
async def a_process(
    url: str, name: str, lease_s: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A runner in another process, which has claimed an entry."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.store.outbox_work", url, name, str(lease_s)),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"working\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_what_a_live_process_has_is_left_to_it(url: str, store: Store) -> None:
    work = Work()
    [subject] = await write(store)
    async with a_process(url, "other", SHORT_S):
        await write(store, 3)
        async with a_runner(store, work, lease_s=SHORT_S):
            await wait_until(lambda: _are_left(store, 1))
            beats = {lease.beat for lease in await store.leases.all()}
            await wait_until(lambda: _beats_beyond(store, max(beats) + 12))

    assert subject not in work.most_at_once
    assert await store.outbox.count([KIND]) == 1
    assert len(work.done) == 3


async def test_what_a_killed_process_had_is_taken_over(url: str, store: Store) -> None:
    work = Work()
    [subject] = await write(store)
    async with a_process(url, "other", SHORT_S) as process:
        process.kill()
        await process.wait()
        async with a_runner(store, work, lease_s=SHORT_S):
            await wait_until(lambda: is_empty(store))

    assert set(work.most_at_once) == {subject}


async def test_a_process_that_is_started_again_waits_for_no_lease(url: str, store: Store) -> None:
    """It has the name of the one that died, whose lease would be good for ten minutes."""
    work = Work()
    await write(store)
    async with a_process(url, "one", 600.0) as process:
        process.kill()
        await process.wait()
        async with a_runner(store, work, name="one"):
            await wait_until(lambda: is_empty(store))

    assert len(work.done) == 1


async def test_what_a_stopped_runner_had_is_free_at_once(store: Store, second: Store) -> None:
    hung, work = Work(), Work()
    hung.may_go_on.clear()
    await write(store)
    async with a_runner(store, hung, name="one"):
        await wait_until(lambda: _async(len(hung.begun) == 1))
    async with a_runner(second, work, name="two"):
        await wait_until(lambda: is_empty(store))

    assert work.done == hung.begun


@pytest.mark.parametrize("names", [("one", "one"), ("one", "two")], ids=str)
async def test_a_runner_leaves_no_lease_behind(store: Store, names: tuple[str, str]) -> None:
    for name in names:
        async with a_runner(store, Work(), name=name):
            await wait_until(lambda: _has_lease(store))

    assert await store.leases.all() == ()


async def _async(value: bool) -> bool:
    return value


async def _has_lease(store: Store) -> bool:
    return await store.leases.all() != ()


async def _beats_beyond(store: Store, beat: int) -> bool:
    return all(lease.beat > beat for lease in await store.leases.all())


# --- many lanes


async def test_few_claims_at_once_however_many_lanes(store: Store) -> None:
    """Each is a write, and the clients' writes wait for all that were before them."""
    work, claiming, at_first = Work(), set[object](), list[int]()

    def busy() -> bool:
        claiming.add(asyncio.current_task())
        return not work.begun

    async def handler(entry: Entry) -> Outcome:
        at_first.append(len(claiming))
        return await work(entry)

    for number in range(40):
        await write(store, lane=f"lane {number}")
    async with a_runner(store, handler, busy=busy):
        await wait_until(lambda: is_empty(store))

    assert at_first[0] <= 2 * CLAIMS_AT_ONCE
    assert len(work.done) == 40


async def test_what_is_in_hand_is_bounded_before_it_is_claimed(store: Store) -> None:
    work = Work()
    work.may_go_on.clear()
    for number in range(5):
        await write(store, 4, lane=f"lane {number}")

    async with a_runner(store, work, in_hand=6) as runner:
        await wait_until(lambda: _async(len(work.begun) == 6))
        await write(store, lane=OTHER_LANE)
        runner.wake(OTHER_LANE)
        await runner.look()
        assert await claimed_of(store) == len(work.begun) == 6
        work.may_go_on.set()
        await wait_until(lambda: is_empty(store))

    assert len(work.done) == 21


async def claimed_of(store: Store) -> int:
    statement = select(func.count()).select_from(outbox).where(outbox.c.claimed_by.is_not(None))
    async with open_read(store.database) as connection:
        return int((await connection.execute(statement)).scalar_one())


async def test_a_place_is_given_back_whatever_comes_of_the_entry(store: Store) -> None:
    work = Work(
        RuntimeError("what is this?"),
        StoreUnavailableError("locked"),
        PutOff("not yet", 0.0),
        Blocked("it is away", 0.0),
    )
    for number in range(4):
        await write(store, 2, lane=f"lane {number}")

    async with a_runner(store, work, in_hand=1):
        await wait_until(lambda: _are_left(store, 1))  # the one that nobody can do

    assert len(work.done) == 7


async def test_the_next_of_its_subject_follows_at_once(store: Store) -> None:
    """With no call of ``wake`` and no look in between."""
    work = Work()
    [subject] = await write(store)
    await write(store, 5, subject=subject)
    runner = a_runner(store, work)

    await runner.look()  # one round only
    await wait_until(lambda: is_empty(store))
    await runner.__aexit__()

    assert work.done == sorted(work.done)
    assert len(work.done) == 6


async def _write_untold(store: Store) -> None:
    """An entry whose signal is lost."""
    async with open_write(store.database) as connection:
        values = {"lane": LANE, "kind": KIND, "subject": uuid4(), "payload": {}, "rank": 0}
        created = {"created_at": datetime.now(UTC), "tries": 0}
        await connection.execute(insert(outbox).values(**values, **created))
