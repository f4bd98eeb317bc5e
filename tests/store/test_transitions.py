"""What clients and operators do to a generation: cancel, retry, delete; and what the dispatcher
and the reconciler do when Prefect says something.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from sqlalchemy import select

from core.ids import prompt_id
from core.status import FINAL, STATUSES, Status
from store.errors import ConflictError, DeletedError, NotFoundError
from store.generations.acceptance import IdempotencyKey
from store.generations.dispatches import KINDS, dispatch
from store.outbox import put
from store.store import Store
from store.tables import artefacts, attempts, generations, idempotency_keys, outbox, previews
from store.values import Generation, HistoryFilter, Holder, Preview, ProgressRecord, Waiting
from tests.harness.transactions import open_read, open_write
from tests.store.batch_values import rows_of
from tests.store.making import (
    NEVER,
    OTHER_RUNNER,
    OUT_OF_MEMORY,
    a_problem,
    a_request,
    accepted,
    an_image,
    brought_to,
    claimed,
    dispatched,
    empty_outbox,
    running,
    taken,
    taken_over,
)

ACTIVE: list[Status] = [status for status in STATUSES if status not in FINAL]


# --- cancel


async def test_what_nobody_holds_is_cancelled_at_once(store: Store) -> None:
    made = await accepted(store)

    answer = await store.transitions.request_cancel(made.id)

    assert answer.status == "cancelled"
    assert answer == await store.generations.get(made.id)
    assert answer.finished_at is not None
    assert answer.fence > made.fence
    assert [attempt.outcome for attempt in await store.generations.attempts(made.id)] == [
        "cancelled"
    ]
    assert await dispatched(store, made.id) == [("start", 1), ("cancel", 1)]


@pytest.mark.parametrize("status", ["queued", "running"])
async def test_what_a_worker_holds_is_cancelled_by_the_worker(store: Store, status: Status) -> None:
    made, claim = await brought_to(store, status)

    answer = await store.transitions.request_cancel(made.id)

    assert answer.status == "cancelling"
    assert answer.finished_at is None
    assert await dispatched(store, made.id) == [("start", 1), ("cancel", 1)]
    assert await store.transitions.cancelled(claim)
    assert (await store.generations.get(made.id)).status == "cancelled"


async def test_a_second_cancel_changes_nothing(store: Store) -> None:
    made, _ = await brought_to(store, "cancelling")

    assert await store.transitions.request_cancel(made.id) == made

    assert await dispatched(store, made.id) == [("start", 1), ("cancel", 1)]


@pytest.mark.parametrize("ended", sorted(FINAL))
async def test_what_has_ended_cannot_be_cancelled(store: Store, ended: Status) -> None:
    made, _ = await brought_to(store, ended)

    with pytest.raises(ConflictError):
        await store.transitions.request_cancel(made.id)

    assert await store.generations.get(made.id) == made


async def test_a_cancel_and_the_end_at_once_agree(store: Store, second: Store) -> None:
    for _ in range(5):
        made = await accepted(store)
        claim = await running(store, made.id)

        asked, _ = await asyncio.gather(
            second.transitions.request_cancel(made.id),
            store.transitions.succeed(claim, [an_image(claim)]),
            return_exceptions=True,
        )

        assert (await store.generations.get(made.id)).status == "succeeded"
        assert isinstance(asked, ConflictError | Generation)
        assert len(await store.generations.artefacts(made.id)) == 1


# --- retry


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
async def test_a_retry_is_a_new_attempt_at_the_same_request(store: Store, ended: Status) -> None:
    made, claim = await brought_to(store, ended, seed=7)
    told_before = await dispatched(store, made.id)

    answer = await store.transitions.retry(made.id)

    assert answer == await store.generations.get(made.id)
    assert (answer.status, answer.attempt, answer.seq) == ("queued", 2, made.seq)
    assert answer.request == a_request(seed=7)
    assert (answer.error, answer.progress, answer.waiting) == (None, None, None)
    assert (answer.started_at, answer.finished_at, answer.flow_run_id) == (None, None, None)
    first, second = await store.generations.attempts(made.id)
    assert (first.number, first.outcome) == (1, ended)
    assert (second.number, second.outcome, second.prompt_id) == (2, None, prompt_id(made.id, 2))
    assert second.prompt_id != first.prompt_id
    assert await dispatched(store, made.id) == [*told_before, ("start", 2)]
    assert not await store.transitions.cancelled(claim)


@pytest.mark.parametrize("status", [*ACTIVE, "succeeded"])
async def test_only_what_ended_badly_is_retried(store: Store, status: Status) -> None:
    made, _ = await brought_to(store, status)

    with pytest.raises(ConflictError):
        await store.transitions.retry(made.id)

    assert await store.generations.get(made.id) == made


async def test_two_retries_at_once_make_one_attempt(store: Store, second: Store) -> None:
    made, _ = await brought_to(store, "failed")

    outcomes = await asyncio.gather(
        *(s.transitions.retry(made.id) for s in (store, second)), return_exceptions=True
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ConflictError", "Generation"]
    assert len(await store.generations.attempts(made.id)) == 2


async def test_attempts_go_on_counting(store: Store) -> None:
    made = await accepted(store)
    for number in range(1, 4):
        claim = await running(store, made.id, attempt=number)
        await store.transitions.fail(claim, a_problem(f"time {number}"))
        await store.transitions.retry(made.id)

    tries = await store.generations.attempts(made.id)

    assert [attempt.number for attempt in tries] == [1, 2, 3, 4]
    assert len({attempt.prompt_id for attempt in tries}) == 4
    assert [attempt.error.detail for attempt in tries if attempt.error] == [
        "time 1",
        "time 2",
        "time 3",
    ]


# --- delete


@pytest.mark.parametrize("status", STATUSES)
async def test_deleted_is_deleted(store: Store, status: Status) -> None:
    made, _ = await brought_to(store, status)

    await store.transitions.delete(made.id)

    with pytest.raises(DeletedError):
        await store.generations.get(made.id)
    with pytest.raises(DeletedError):
        await store.transitions.request_cancel(made.id)
    with pytest.raises(DeletedError):
        await store.transitions.retry(made.id)
    assert await store.generations.is_deleted(made.id)
    assert await store.generations.active() == ()
    assert (await store.generations.history(HistoryFilter(), 10, None)).items == ()
    assert await rows_of(store, generations) == 1


async def test_delete_gives_back_the_pictures_once(store: Store) -> None:
    made = await accepted(store)
    claim = await running(store, made.id)
    pictures = [an_image(claim, position) for position in range(3)]
    await store.transitions.succeed(claim, pictures)

    gone = await store.transitions.delete(made.id)

    assert sorted(gone, key=lambda image: image.position) == pictures
    assert await store.generations.artefacts(made.id) == ()
    with pytest.raises(NotFoundError):
        await store.generations.artefact(pictures[0].id)
    assert await store.transitions.delete(made.id) == []


async def test_nothing_of_the_content_is_left(store: Store) -> None:
    # Given a generation whose words are in its row, its error, its preview and its kept answer
    secret = "a secret garden"
    made = (
        await store.acceptance.accept(
            a_request(prompt=secret, metadata={"for": secret}),
            IdempotencyKey("key", "a" * 64),
            lambda generation, _: {"request": str(generation.request)},
        )
    ).generation
    first = await running(store, made.id)
    await store.transitions.fail(first, a_problem(secret))
    await store.transitions.retry(made.id)
    claim = await running(store, made.id)
    preview = Preview(1, "text/plain", secret.encode())
    await store.transitions.record_progress(claim, ProgressRecord(1.0, node=secret), preview, None)
    assert secret in await everything(store)

    # When it is deleted
    await store.transitions.delete(made.id)

    # Then no table holds them, and the tombstone still stands
    assert secret not in await everything(store)
    async with open_read(store.database) as connection:
        found = await connection.execute(select(generations).where(generations.c.id == made.id))
        row = found.mappings().one()
    for column in ("prompt", "model", "request", "progress", "waiting", "error"):
        assert row[column] is None
    assert row["deleted_at"] is not None
    assert row["finished_at"] is not None


async def everything(store: Store) -> str:
    tables = (generations, attempts, artefacts, previews, outbox, idempotency_keys)
    async with open_read(store.database) as connection:
        return "".join(
            [str((await connection.execute(select(table))).mappings().all()) for table in tables]
        )


@pytest.mark.parametrize("status", STATUSES)
async def test_prefect_is_told_of_a_delete(store: Store, status: Status) -> None:
    made, _ = await brought_to(store, status)
    told_before = await dispatched(store, made.id)

    await store.transitions.delete(made.id)
    await store.transitions.delete(made.id)

    ended = status in FINAL
    more = [("forget", 1)] if ended else [("cancel", 1), ("forget", 1)]
    assert await dispatched(store, made.id) == told_before + more


async def test_deletes_at_once_give_back_the_pictures_once(store: Store, second: Store) -> None:
    made, _ = await brought_to(store, "succeeded")

    gone = await asyncio.gather(*(s.transitions.delete(made.id) for s in (store, second) * 2))

    assert sorted(len(pictures) for pictures in gone) == [0, 0, 0, 1]
    assert [action for action, _ in await dispatched(store, made.id)].count("forget") == 1


async def test_what_never_was_cannot_be_changed(store: Store) -> None:
    for change in (
        store.transitions.request_cancel,
        store.transitions.retry,
        store.transitions.delete,
    ):
        with pytest.raises(NotFoundError) as refusal:
            await change(NEVER)
        assert not isinstance(refusal.value, DeletedError)


# --- what Prefect says


async def test_the_flow_run_is_recorded_and_the_dispatch_done(store: Store) -> None:
    made, run = await accepted(store), uuid.uuid4()
    [entry] = await taken(store)

    await store.flow_runs.record_flow_run(entry, run)

    assert (await store.generations.get(made.id)).flow_run_id == run
    assert [attempt.flow_run_id for attempt in await store.generations.attempts(made.id)] == [run]
    assert await store.outbox.count(KINDS) == 0


async def test_the_flow_run_of_an_older_attempt_is_not_the_newest(store: Store) -> None:
    made = await accepted(store)
    [entry] = await taken(store)
    await store.transitions.request_cancel(made.id)
    retried, run = await store.transitions.retry(made.id), uuid.uuid4()

    await store.flow_runs.record_flow_run(entry, run)

    assert await store.generations.get(made.id) == retried
    first, second = await store.generations.attempts(made.id)
    assert (first.flow_run_id, second.flow_run_id) == (run, None)
    assert await dispatched(store, made.id) == [("cancel", 1), ("start", 2)]


@pytest.mark.parametrize("status", ACTIVE)
@pytest.mark.parametrize("to", ["failed", "cancelled"])
async def test_a_run_that_ended_without_telling_is_settled(
    store: Store, status: Status, to: Status
) -> None:
    made, claim = await brought_to(store, status)
    assert made.flow_run_id is not None
    why = a_problem("the flow run crashed") if to == "failed" else None

    assert await store.flow_runs.settle(made.id, made.flow_run_id, to, why)

    now = await store.generations.get(made.id)
    assert (now.status, now.error) == (to, why)
    assert now.fence > claim.fence
    assert [attempt.outcome for attempt in await store.generations.attempts(made.id)] == [to]
    assert not await store.flow_runs.settle(made.id, made.flow_run_id, to, why)
    assert await store.generations.get(made.id) == now


async def test_only_the_run_that_does_it_now_settles_it(store: Store) -> None:
    made = await accepted(store)
    old, new = uuid.uuid4(), uuid.uuid4()
    await claimed(store, made.id, flow_run_id=old)
    await taken_over(store, made.id, flow_run_id=new)
    before = await store.generations.get(made.id)

    assert not await store.flow_runs.settle(made.id, old, "failed", a_problem())
    assert not await store.flow_runs.settle(NEVER, old, "failed", a_problem())

    assert await store.generations.get(made.id) == before


@pytest.mark.parametrize("ended", sorted(FINAL))
async def test_what_has_ended_is_not_settled(store: Store, ended: Status) -> None:
    made, _ = await brought_to(store, ended)
    assert made.flow_run_id is not None

    assert not await store.flow_runs.settle(made.id, made.flow_run_id, "failed", a_problem())

    assert await store.generations.get(made.id) == made


async def test_what_somebody_has_taken_meanwhile_is_not_settled_by_an_old_look(
    store: Store,
) -> None:
    made = await accepted(store)
    claim = await claimed(store, made.id)
    run, settle = claim.flow_run_id, store.flow_runs.settle
    assert not await settle(made.id, run, "cancelled", None, fence=made.fence)
    assert await store.transitions.status(claim) == "queued"
    assert await settle(made.id, run, "cancelled", None, fence=claim.fence)


async def test_one_that_is_given_back_as_paused_is_nobodys_until_it_is_resumed(
    store: Store,
) -> None:
    made = await accepted(store)
    paused = Waiting("paused", "by an operator")
    claim = await claimed(store, made.id)
    await store.transitions.unclaim(claim, paused)
    now = await store.generations.get(made.id)
    assert (now.status, now.waiting) == ("queued", paused)
    holder = Holder("gpu-2", uuid.uuid4(), "http://gpu-2")
    assert await store.queue.take(holder, lambda found: found[0], ["interactive"]) is None


async def test_what_was_deleted_is_not_settled(store: Store) -> None:
    made, _ = await brought_to(store, "running")
    assert made.flow_run_id is not None
    await store.transitions.delete(made.id)

    assert not await store.flow_runs.settle(made.id, made.flow_run_id, "failed", a_problem())


async def test_the_end_and_its_settling_at_once_are_one_end(store: Store, second: Store) -> None:
    """The worker saves while the reconciler reads that the run crashed."""
    for _ in range(10):
        made, run = await accepted(store), uuid.uuid4()
        claim = await running(store, made.id, flow_run_id=run)

        await asyncio.gather(
            store.transitions.succeed(claim, [an_image(claim)]),
            second.flow_runs.settle(made.id, run, "failed", a_problem()),
            return_exceptions=True,
        )

        now = await store.generations.get(made.id)
        pictures = await store.generations.artefacts(made.id)
        assert (now.status, len(pictures)) in {("succeeded", 1), ("failed", 0)}
        assert now.sequence == 4  # accepted, claimed, started, and one end


# --- what every write has in common


async def test_sequence_and_change_grow_with_every_write(store: Store) -> None:
    made, run = await accepted(store), uuid.uuid4()
    [entry] = await taken(store)
    seen = [made]

    async def look() -> None:
        seen.append(await store.generations.get(made.id))

    move = store.transitions
    await store.flow_runs.record_flow_run(entry, run)
    await look()
    claim = await claimed(store, made.id, flow_run_id=run, attempt=1)
    await look()
    await move.start(claim, datetime.now(UTC))
    await look()
    for percent in (10.0, 20.0):
        await move.record_progress(claim, ProgressRecord(percent), None, None)
        await look()
    await move.unclaim(claim)
    await look()
    claim = await running(store, made.id, flow_run_id=run, attempt=1)
    await look()
    await move.fail(claim, OUT_OF_MEMORY)
    await look()
    await move.retry(made.id)
    await look()
    claim = await running(store, made.id)
    await look()
    await move.request_cancel(made.id)
    await look()
    await move.cancelled(claim)
    await look()

    assert all(a.sequence < b.sequence for a, b in pairwise(seen))
    assert all(a.change < b.change for a, b in pairwise(seen))
    assert {generation.seq for generation in seen} == {made.seq}


async def test_writes_of_all_kinds_at_once_never_wait_for_each_other_for_ever(
    store: Store, second: Store
) -> None:
    """On PostgreSQL two writes that lock row and counter in different orders would deadlock."""
    made, run = await accepted(store), uuid.uuid4()
    claim = await running(store, made.id, flow_run_id=run)
    await empty_outbox(store)

    for _ in range(15):
        now = datetime.now(UTC)
        async with open_write(store.database) as connection:
            await connection.run_sync(put, [dispatch("start", made.id, 1, "interactive", now)])
        [start] = [entry for entry in await taken(store) if entry.subject == made.id]
        await asyncio.gather(
            *(
                s.transitions.record_progress(claim, ProgressRecord(1.0), None, None)
                for s in (store, second)
            ),
            store.transitions.record_submission(claim),
            second.flow_runs.record_flow_run(start, run),
            taken(second, holder=OTHER_RUNNER),
            store.transitions.start(claim, datetime.now(UTC)),
            store.acceptance.accept(a_request()),
        )
    outcomes = await asyncio.gather(
        store.transitions.record_progress(claim, ProgressRecord(2.0), None, None),
        second.transitions.request_cancel(made.id),
        store.transitions.fail(claim, OUT_OF_MEMORY),
        second.flow_runs.settle(made.id, run, "failed", a_problem()),
        second.transitions.delete(made.id),
        return_exceptions=True,
    )

    unexpected = [
        outcome
        for outcome in outcomes
        if isinstance(outcome, BaseException)
        and not isinstance(outcome, ConflictError | DeletedError)
    ]
    assert unexpected == []
