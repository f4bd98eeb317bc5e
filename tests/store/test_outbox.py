"""The outbox: entries are kept until they were done, claimed by one, one of a subject at a time."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, text, update

from store.errors import LeaseLostError
from store.generations.dispatches import KINDS, LANE, START_DELAY_S, dispatch
from store.leases import Lease
from store.outbox import Look, _due_lanes, _next, _next_dues, put
from store.store import Store
from store.tables import outbox
from store.values import Entry, NewEntry
from tests.harness.statements import plan_of
from tests.harness.transactions import open_write
from tests.store.making import (
    OTHER_RUNNER,
    RUN,
    RUNNER,
    accepted,
    brought_to,
    dispatched,
    empty_outbox,
    taken,
)

DELIVER: Final = "webhook.deliver"
THREE_DAYS_S: Final = 3 * 86_400.0


async def written(store: Store, count: int = 1, **fields: Any) -> None:
    """Entries of other kinds than Prefect's, each about a subject of its own."""
    entries = [
        NewEntry(
            **{
                "lane": "webhook a.test:443",
                "kind": DELIVER,
                "subject": uuid.uuid4(),
                "payload": {"number": number},
                "rank": 0,
                "created_at": datetime.now(UTC),
                **fields,
            }
        )
        for number in range(count)
    ]
    async with open_write(store.database) as connection:
        await connection.run_sync(put, entries)


async def deliveries(
    store: Store, lane: str = "webhook a.test:443", limit: int = 1000
) -> tuple[Entry, ...]:
    await store.leases.take(f"runner {RUNNER}", RUNNER, 600)
    return await store.outbox.claim(lane, [DELIVER], RUNNER, limit)


async def lease_of(store: Store, holder: UUID) -> Lease:
    return next(lease for lease in await store.leases.all() if lease.holder == holder)


async def time_passes(store: Store, span: timedelta) -> None:
    """As if the clock stood that much later: what was written lies that much further back."""
    async with open_write(store.database) as connection:
        for row in (await connection.execute(select(outbox))).mappings().all():
            earlier = {
                name: row[name] - span
                for name in ("created_at", "due_at", "put_off_at")
                if row[name] is not None
            }
            await connection.execute(
                update(outbox).where(outbox.c.id == row["id"]).values(**earlier)
            )


# --- when it is due


async def test_an_entry_may_be_due_later(store: Store) -> None:
    now = datetime.now(UTC)
    later = now + timedelta(minutes=1)
    await written(store, due_at=later, created_at=now)
    assert await deliveries(store) == ()
    assert await store.outbox.lanes([DELIVER]) == frozenset()

    await time_passes(store, timedelta(seconds=61))

    [entry] = await deliveries(store)
    assert entry.tries == 0


async def test_a_writer_whose_clock_is_ahead_delays_nothing(store: Store) -> None:
    """It says when its entry is due by its own clock; the runners look at the database's."""
    ahead = datetime.now(UTC) + timedelta(hours=1)
    await written(store, due_at=ahead + timedelta(seconds=0.3), created_at=ahead)

    assert await store.outbox.lanes([DELIVER]) == {"webhook a.test:443"}
    assert len(await deliveries(store)) == 1


async def test_a_start_may_be_left_to_a_worker_for_a_moment(store: Store) -> None:
    made, now = uuid.uuid4(), datetime.now(UTC)

    delayed = dispatch("start", made, 1, "interactive", now, delay_s=START_DELAY_S)

    assert delayed.due_at == now + timedelta(seconds=START_DELAY_S)
    assert dispatch("start", made, 1, "interactive", now).due_at is None


# --- the order


async def test_interactive_before_bulk_then_in_the_order_of_decision(store: Store) -> None:
    bulk = [(await accepted(store, priority="bulk")).id for _ in range(2)]
    quick = [(await accepted(store)).id for _ in range(2)]

    first, rest = await taken(store, 3), await taken(store)

    assert [entry.subject for entry in first + rest] == quick + bulk
    assert await store.outbox.count(KINDS) == 4


async def test_cancels_do_not_wait_behind_a_thousand_starts(store: Store) -> None:
    """A start that is met after its cancel finds the generation ended, and is left out."""
    waiting = await accepted(store)
    made, _ = await brought_to(store, "cancelling")
    await store.transitions.delete(made.id)
    done: list[tuple[str, UUID]] = []

    while entries := await taken(store):
        for entry in entries:
            done.append((entry.kind.removeprefix("prefect."), entry.subject))
            await store.outbox.done(entry)

    assert done == [
        ("cancel", made.id),
        ("start", waiting.id),
        ("cancel", made.id),
        ("start", made.id),
        ("forget", made.id),
    ]


async def test_of_one_subject_one_entry_at_a_time(store: Store, second: Store) -> None:
    """A cancel must not overtake the start that it cancels, whichever process has that."""
    made = await accepted(store)
    [start] = await taken(store)
    await store.transitions.request_cancel(made.id)

    assert await taken(second, holder=OTHER_RUNNER) == ()

    await store.flow_runs.record_flow_run(start, RUN)
    [cancel] = await taken(second, holder=OTHER_RUNNER)
    assert (cancel.subject, cancel.kind) == (made.id, "prefect.cancel")


async def test_the_first_of_a_subject_is_put_off_and_the_next_goes_on(store: Store) -> None:
    made = await accepted(store)
    [start] = await taken(store)
    await store.outbox.postpone(start, "away", 600)
    await store.transitions.request_cancel(made.id)

    [cancel] = await taken(store)

    assert cancel.kind == "prefect.cancel"


async def test_a_subject_that_is_under_work_in_one_lane_is_free_in_another(store: Store) -> None:
    made = await accepted(store)
    await written(store, subject=made.id)
    await taken(store)

    [delivery] = await deliveries(store)

    assert delivery.subject == made.id


# --- claims


async def test_what_is_done_is_gone(store: Store) -> None:
    await accepted(store)
    [entry] = await taken(store)

    assert await store.outbox.done(entry)
    assert not await store.outbox.done(entry)

    assert await taken(store) == ()
    assert await store.outbox.count(KINDS) == 0


async def test_what_is_claimed_is_not_claimed_again(store: Store, second: Store) -> None:
    await accepted(store)
    [entry] = await taken(store)

    assert await taken(second, holder=OTHER_RUNNER) == await taken(store) == ()
    assert await second.outbox.lanes(KINDS) == frozenset()
    assert await second.outbox.lanes(KINDS, due=False) == {LANE}
    assert await second.outbox.claimers() == {RUNNER} == {entry.claimed_by}


async def test_two_that_claim_at_once_never_get_the_same(store: Store, second: Store) -> None:
    subjects = [uuid.uuid4() for _ in range(15)]
    for _ in range(3):
        for subject in subjects:
            await written(store, subject=subject)
    await store.leases.take("one", RUNNER, 600)
    await store.leases.take("two", OTHER_RUNNER, 600)

    async def work(mine: Store, holder: UUID) -> list[Entry]:
        """Claim as quickly as can be, and let go of one in three of them."""
        mine_now: list[Entry] = []
        while len(mine_now) < 60:
            claimed = await mine.outbox.claim("webhook a.test:443", [DELIVER], holder, 4)
            assert len({entry.subject for entry in claimed}) == len(claimed)
            for entry in claimed:
                assert entry.subject not in under_work
                under_work.add(entry.subject)
            await asyncio.sleep(0)
            for number, entry in enumerate(claimed):
                under_work.discard(entry.subject)
                assert await mine.outbox.postpone(entry, "again", -1)
                mine_now += [entry] if number else []
        return mine_now

    under_work: set[UUID] = set()
    both = await asyncio.gather(*(work(s, h) for s, h in ((store, RUNNER), (second, OTHER_RUNNER))))

    assert all(both)


async def test_no_claim_without_a_lease(store: Store) -> None:
    await accepted(store)
    await taken(store, 0)
    await store.leases.take(f"runner {RUNNER}", OTHER_RUNNER, 600)

    with pytest.raises(LeaseLostError):
        await store.outbox.claim(LANE, KINDS, RUNNER, 10)

    assert await store.outbox.lanes(KINDS) == {LANE}


async def test_what_nobody_knows_how_to_do_is_left_to_a_newer_version(store: Store) -> None:
    made = await accepted(store)
    await written(store, lane=LANE, kind="prefect.praise", subject=made.id, rank=-1)

    [entry] = await taken(store)

    assert entry.kind == "prefect.start"
    assert await store.outbox.count(KINDS) == 1


# --- runners that die


async def test_the_claims_of_a_dead_runner_are_freed(store: Store, second: Store) -> None:
    made = await accepted(store)
    [entry] = await taken(store)
    lapsed = await lease_of(store, RUNNER)

    assert await second.outbox.free(RUNNER, lapsed) == 1

    [again] = await taken(second, holder=OTHER_RUNNER)
    assert (again.id, again.tries, again.subject) == (entry.id, 0, made.id)


async def test_a_runner_that_wakes_up_is_fenced_out_or_keeps_its_claims(
    store: Store, second: Store
) -> None:
    """It was seen to stand still, and another is about to free its claims."""
    await accepted(store)
    await accepted(store)
    [entry] = await taken(store, 1)
    lapsed = await lease_of(store, RUNNER)
    await store.leases.renew(lapsed.name, RUNNER)

    assert await second.outbox.free(RUNNER, lapsed) == 0
    assert await second.outbox.free(RUNNER, None) == 0
    assert await store.outbox.done(entry)

    [entry] = await store.outbox.claim(LANE, KINDS, RUNNER, 1)
    assert await second.outbox.free(RUNNER, await lease_of(store, RUNNER)) == 1
    with pytest.raises(LeaseLostError):
        await store.outbox.claim(LANE, KINDS, RUNNER, 1)
    assert not await store.outbox.done(entry)


async def test_a_lease_that_was_given_up_frees_its_claims(store: Store, second: Store) -> None:
    await accepted(store)
    await taken(store)
    await store.leases.give_up(f"runner {RUNNER}", RUNNER)

    assert await second.outbox.free(RUNNER, None) == 1
    assert len(await taken(second, holder=OTHER_RUNNER)) == 1


async def test_one_that_wakes_up_after_its_claim_was_freed_changes_nothing(
    store: Store, second: Store
) -> None:
    made = await accepted(store)
    [mine] = await taken(store)
    await second.outbox.free(RUNNER, await lease_of(store, RUNNER))
    [theirs] = await taken(second, holder=OTHER_RUNNER)

    assert not await store.outbox.done(mine)
    assert not await store.outbox.postpone(mine, "too late", 3600)
    assert not await store.flow_runs.record_flow_run(mine, uuid.uuid4())

    assert (await store.generations.get(made.id)).flow_run_id is None
    assert await second.flow_runs.record_flow_run(theirs, RUN)
    assert (await store.generations.get(made.id)).flow_run_id == RUN


async def test_a_run_made_after_its_generation_was_forgotten_is_forgotten_too(
    store: Store, second: Store
) -> None:
    made = await accepted(store)
    [mine] = await taken(store)
    await second.outbox.free(RUNNER, await lease_of(store, RUNNER))
    await store.transitions.delete(made.id)
    await empty_outbox(second)
    assert await dispatched(store, made.id) == []

    assert not await store.flow_runs.record_flow_run(mine, RUN)

    assert await dispatched(store, made.id) == [("forget", 1)]


async def test_ids_are_never_used_again(store: Store, second: Store) -> None:
    """Else a late `done` of one that is gone would remove another's `forget`."""
    seen: set[int] = set()
    for _ in range(3):
        made = await accepted(store)
        [entry] = await taken(store)
        await store.transitions.delete(made.id)
        await empty_outbox(second)
        await store.outbox.done(entry)
        async with open_write(store.database) as connection:
            found = (await connection.execute(select(func.count()).select_from(outbox))).scalar()
            await connection.execute(delete(outbox))
        assert found == 2  # its cancel and its forget
        assert entry.id not in seen
        seen |= {entry.id, entry.id + 1, entry.id + 2}


async def test_what_is_not_done_survives_a_restart(store: Store, second: Store) -> None:
    made = await accepted(store)

    assert [entry.subject for entry in await taken(second)] == [made.id]


# --- put off


async def test_what_is_postponed_is_kept_and_counted(store: Store) -> None:
    await accepted(store)
    [first] = await taken(store)

    assert await store.outbox.postpone(first, "Prefect does not answer " * 1000, delay_s=3600)

    assert await taken(store) == ()
    assert await store.outbox.count(KINDS) == 1
    assert not await store.outbox.postpone(first, "it is not ours any more", delay_s=-1)
    assert await taken(store) == ()

    await time_passes(store, timedelta(hours=1))
    [again] = await taken(store)
    assert (again.id, again.tries) == (first.id, 1)


async def test_put_off_for_three_days_and_due_then(store: Store) -> None:
    await written(store)
    [entry] = await deliveries(store)
    await store.outbox.postpone(entry, "503", THREE_DAYS_S)

    await time_passes(store, timedelta(days=3) - timedelta(minutes=5))
    assert await store.outbox.lanes([DELIVER]) == frozenset()
    assert await deliveries(store) == ()

    await time_passes(store, timedelta(minutes=5))
    assert await store.outbox.lanes([DELIVER]) == {entry.lane}
    [again] = await deliveries(store)
    assert (again.id, again.tries, again.payload) == (entry.id, 1, {"number": 0})


@pytest.mark.parametrize(
    ("set_back", "is_due"),
    [
        (timedelta(0), False),
        (timedelta(hours=2), True),
        (timedelta(days=3650), True),
    ],
    ids=str,
)
async def test_what_was_put_off_before_the_clock_was_set_back_is_due(
    store: Store, set_back: timedelta, is_due: bool
) -> None:
    made = await accepted(store)
    [entry] = await taken(store)
    await store.outbox.postpone(entry, "away", THREE_DAYS_S)
    await time_passes(store, -set_back)

    found = [entry.subject for entry in await taken(store)]

    assert found == ([made.id] if is_due else [])
    assert await store.outbox.count(KINDS) == 1


async def test_what_was_written_before_the_clock_was_set_back_is_due(store: Store) -> None:
    made = await accepted(store)
    await time_passes(store, -timedelta(days=3650))

    assert [entry.subject for entry in await taken(store)] == [made.id]


# --- ten thousand that wait


async def test_what_is_not_due_is_not_read_to_see_what_is(store: Store) -> None:
    """The runners look four times a second, and a dead receiver's entries wait for days."""
    await written(store, 1000)
    now = datetime.now(UTC)
    async with open_write(store.database) as connection:
        later = {"due_at": now + timedelta(days=3), "put_off_at": now - timedelta(minutes=1)}
        await connection.execute(update(outbox).values(**later))
        if not store.database.is_sqlite:  # which Easel never has analyzed
            await connection.execute(text("ANALYZE outbox"))

    statement = _due_lanes((DELIVER,)).params(now=datetime.now(UTC))
    found = await plan_of(store.database, statement)

    assert found.count("ix_outbox_due_at") == 2
    assert found.count("ix_outbox_put_off_at") == 1


async def test_when_the_next_falls_due_is_one_row_of_an_index_for_each_kind(store: Store) -> None:
    await written(store)
    statement = _next_dues((DELIVER, *KINDS)).params(now=datetime.now(UTC))
    found = await plan_of(store.database, statement)

    assert found.count("ix_outbox_due_at") == 1 + len(KINDS)


async def test_a_look_tells_when_the_next_falls_due(store: Store) -> None:
    assert await store.outbox.look([DELIVER]) == Look(frozenset(), frozenset(), None)
    await written(store, 2)
    lanes = (await store.outbox.look([DELIVER])).lanes
    assert lanes == {"webhook a.test:443"}

    entries = await deliveries(store)
    claimed = await store.outbox.look([DELIVER], with_claimers=True)
    assert claimed == Look(frozenset(), frozenset({RUNNER}), None)
    for entry, delay_s in zip(entries, (THREE_DAYS_S, 3600), strict=True):
        await store.outbox.postpone(entry, "503", delay_s)
    put_off = await store.outbox.look([DELIVER], with_claimers=True)
    assert put_off.claimers == put_off.lanes == frozenset()
    assert put_off.due_in_s is not None
    assert 0 < put_off.due_in_s <= 3600
    assert (await store.outbox.look(KINDS)).due_in_s is None

    await time_passes(store, timedelta(hours=1))
    assert (await store.outbox.look([DELIVER])).lanes == lanes


async def test_a_claim_compares_entries_of_one_subject_only(fresh_store: Store) -> None:
    """Without statistics of a lane that has just been filled, too."""
    database = fresh_store.database
    if not database.is_sqlite:  # it may look at the table just now, while it is empty
        async with open_write(database) as connection:
            await connection.execute(text("ALTER TABLE outbox SET (autovacuum_enabled = off)"))
    await written(fresh_store, 1000)

    found = await plan_of(database, _next("webhook a.test:443", [DELIVER], datetime.now(UTC), 8))

    assert "ix_outbox_subject" in found


async def test_lanes_with_nothing_due(store: Store) -> None:
    await written(store)
    [entry] = await deliveries(store)
    assert not await store.outbox.has_due(entry.lane, [DELIVER])

    await store.outbox.postpone(entry, "503", THREE_DAYS_S)
    assert not await store.outbox.has_due(entry.lane, [DELIVER])

    await time_passes(store, timedelta(days=3))
    assert await store.outbox.has_due(entry.lane, [DELIVER])
    assert not await store.outbox.has_due(entry.lane, KINDS)
    assert not await store.outbox.has_due(LANE, [DELIVER])
