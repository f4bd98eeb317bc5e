"""A worker's hold on an attempt: whoever claims it next fences the former out of every write."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from core.ids import prompt_id
from core.status import FINAL, FOLLOWERS, STATUSES, Status
from store.errors import ConflictError, DeletedError, FencedError, HeldError, NotFoundError
from store.store import Store
from store.values import Claim, Generation, Preview, ProgressRecord, Stray, Waiting
from tests.store.making import (
    NEVER,
    OUT_OF_MEMORY,
    a_problem,
    a_request,
    accepted,
    an_image,
    brought_to,
    claimed,
    empty_outbox,
    running,
    taken_over,
)

HALF = ProgressRecord(50.0, step=10, steps=20, node="KSampler", nodes_done=3, nodes_total=7)
PREVIEW = Preview(1, "image/jpeg", b"\xff\xd8 a preview")
AWAY = Waiting("waiting_for_comfyui", "ComfyUI does not answer")


async def test_a_claim_holds_all_that_the_work_needs(store: Store) -> None:
    made, run = await accepted(store, seed=7), uuid.uuid4()

    claim = await claimed(store, made.id, flow_run_id=run, attempt=1, worker="gpu-1")

    assert claim.generation_id == made.id
    assert (claim.attempt, claim.fence) == (1, 1)
    assert claim.prompt_id == prompt_id(made.id, 1)
    assert claim.request == a_request(seed=7)
    assert not claim.submitted_before
    now = await store.generations.get(made.id)
    assert (now.status, now.fence, now.flow_run_id) == ("queued", 1, run)
    [attempt] = await store.generations.attempts(made.id)
    assert (attempt.worker, attempt.flow_run_id) == ("gpu-1", run)


async def test_every_claim_raises_the_fence(store: Store) -> None:
    made = await accepted(store)

    first = await claimed(store, made.id)
    claims = [first] + [await taken_over(store, made.id) for _ in range(2)]

    fences = [claim.fence for claim in claims]
    assert fences == sorted(set(fences))
    assert {claim.prompt_id for claim in claims} == {prompt_id(made.id, 1)}


async def test_claims_at_once_leave_one_holder(store: Store, second: Store) -> None:
    made = await accepted(store)

    claims = await asyncio.gather(
        *(claimed(s, made.id) for s in (store, second) * 4), return_exceptions=True
    )

    [holder] = [claim for claim in claims if isinstance(claim, Claim)]
    assert await store.transitions.status(holder) == "queued"
    assert sum(isinstance(refused, HeldError) for refused in claims) == 7


async def test_its_holder_may_claim_again(store: Store) -> None:
    made, run, lease = await accepted(store), uuid.uuid4(), uuid.uuid4()
    first = await claimed(store, made.id, flow_run_id=run, lease=lease)

    again = await claimed(store, made.id, flow_run_id=run, lease=lease, rerun=True)

    assert again.fence > first.fence
    with pytest.raises(FencedError):
        await store.transitions.status(first)


async def test_the_next_worker_learns_that_comfyui_may_know_the_prompt(store: Store) -> None:
    made = await accepted(store)
    first = await claimed(store, made.id)
    await store.transitions.record_submission(first)
    [submitted] = await store.generations.attempts(made.id)

    again = await taken_over(store, made.id, worker="gpu-2")
    await store.transitions.record_submission(again)

    assert again.submitted_before
    [attempt] = await store.generations.attempts(made.id)
    assert attempt.submitted_at == submitted.submitted_at is not None
    assert attempt.worker == "gpu-2"
    assert await store.strays.of(again.comfy_url) == ()


async def test_a_worker_of_another_comfyui_leaves_a_stray_behind(store: Store) -> None:
    made = await accepted(store)
    first = await claimed(store, made.id, comfy_url="http://gpu-1:8188")
    await store.transitions.record_submission(first)

    there = await taken_over(store, made.id, comfy_url="http://gpu-2:8188")
    await store.transitions.record_submission(there)

    assert there.submitted_before  # a look costs little
    assert not await store.strays.is_wanted(Stray(first.prompt_id, "http://gpu-1:8188"))
    stray = Stray(first.prompt_id, "http://gpu-1:8188")
    assert await store.strays.of("http://gpu-1:8188") == (stray,)
    assert not await store.strays.is_wanted(stray)

    back = await taken_over(store, made.id, comfy_url="http://gpu-1:8188")

    assert back.submitted_before  # it may still be there
    assert await store.strays.of("http://gpu-1:8188") == ()
    assert await store.strays.of("http://gpu-2:8188") != ()


async def test_only_the_first_intent_of_an_attempt_may_be_acted_on(store: Store) -> None:
    """Whoever else repeats it, on whichever ComfyUI, until it is certain that nothing was sent."""
    made = await accepted(store)
    claim = await claimed(store, made.id, comfy_url="http://gpu-1:8188")
    at = datetime.now(UTC)
    assert await store.transitions.record_submission(claim, at)
    for url in ("http://gpu-1:8188", "http://gpu-2:8188", "http://gpu-1:8188"):
        assert not await store.transitions.record_submission(claim)
        claim = await taken_over(store, made.id, comfy_url=url)
        assert claim.submitted_before
    assert not await store.transitions.record_submission(claim)

    await store.transitions.withdraw_submission(claim, at + timedelta(microseconds=1))
    assert not await store.transitions.record_submission(claim)
    await store.transitions.withdraw_submission(claim, at)

    again = await taken_over(store, made.id, comfy_url="http://gpu-1:8188")
    assert not again.submitted_before
    assert await store.transitions.record_submission(again)


async def test_an_intent_whose_answer_was_lost_is_written_again_as_the_same(store: Store) -> None:
    made = await accepted(store)
    claim = await claimed(store, made.id)
    at = datetime.now(UTC)

    assert await store.transitions.record_submission(claim, at)

    assert await store.transitions.record_submission(claim, at)
    assert not await store.transitions.record_submission(claim, at + timedelta(microseconds=1))


# --- the fence


async def withdraw_submission(store: Store, claim: Claim) -> object:
    await store.transitions.withdraw_submission(claim, datetime.now(UTC))
    return None


async def record_submission(store: Store, claim: Claim) -> object:
    await store.transitions.record_submission(claim)
    return None


async def start(store: Store, claim: Claim) -> object:
    return await store.transitions.start(claim, datetime.now(UTC))


async def status(store: Store, claim: Claim) -> object:
    return await store.transitions.status(claim)


async def record_progress(store: Store, claim: Claim) -> object:
    return await store.transitions.record_progress(claim, HALF, PREVIEW, AWAY)


async def succeed(store: Store, claim: Claim) -> object:
    await store.transitions.succeed(claim, [an_image(claim)])
    return None


async def fail(store: Store, claim: Claim) -> object:
    return await store.transitions.fail(claim, OUT_OF_MEMORY)


async def cancelled(store: Store, claim: Claim) -> object:
    return await store.transitions.cancelled(claim)


async def release(store: Store, claim: Claim) -> object:
    await store.transitions.unclaim(claim)
    return None


Write = Callable[[Store, Claim], Awaitable[object]]
LOUD: list[Write] = [
    record_submission,
    withdraw_submission,
    start,
    status,
    record_progress,
    succeed,
]
QUIET: list[Write] = [fail, cancelled, release]


async def everything_about(store: Store, generation: Generation) -> tuple[object, ...]:
    now = await store.generations.get(generation.id)
    attempts = await store.generations.attempts(generation.id)
    return now, attempts, await store.generations.artefacts(generation.id)


async def lapsed(store: Store, claim: Claim) -> None:
    await taken_over(store, claim.generation_id, worker="gpu-2")


async def cancelled_by_an_operator(store: Store, claim: Claim) -> None:
    now = await store.generations.get(claim.generation_id)
    assert now.flow_run_id is not None
    await store.flow_runs.settle(now.id, now.flow_run_id, "cancelled", None)


async def retried(store: Store, claim: Claim) -> None:
    await cancelled_by_an_operator(store, claim)
    await store.transitions.retry(claim.generation_id)


@pytest.mark.parametrize("lose", [lapsed, cancelled_by_an_operator, retried])
@pytest.mark.parametrize("write", [*LOUD, *QUIET])
async def test_who_lost_the_attempt_can_change_nothing(
    store: Store, lose: Callable[[Store, Claim], Awaitable[None]], write: Write
) -> None:
    # Given a worker that was stopped, and lost its attempt meanwhile
    made = await accepted(store)
    claim = await running(store, made.id)
    await lose(store, claim)
    before = await everything_about(store, made)

    # When it wakes and writes
    if write in LOUD:
        with pytest.raises(FencedError):
            await write(store, claim)
    else:
        assert not await write(store, claim)

    # Then nothing has changed
    assert await everything_about(store, made) == before


@pytest.mark.parametrize("write", [*LOUD, *QUIET])
async def test_who_works_on_something_deleted_can_change_nothing(
    store: Store, write: Write
) -> None:
    made = await accepted(store)
    claim = await running(store, made.id)
    await store.transitions.delete(made.id)

    if write in LOUD:
        with pytest.raises(FencedError):
            await write(store, claim)
    else:
        assert not await write(store, claim)

    assert await store.generations.artefacts(made.id) == ()
    with pytest.raises(DeletedError):
        await store.generations.get(made.id)


async def test_two_ends_at_once_make_one_end(store: Store, second: Store) -> None:
    made = await accepted(store)
    claim = await running(store, made.id)

    outcomes = await asyncio.gather(
        *(s.transitions.fail(claim, OUT_OF_MEMORY) for s in (store, second)),
        *(s.transitions.cancelled(claim) for s in (store, second)),
    )

    assert outcomes.count(True) == 1
    ended = await store.generations.get(made.id)
    assert ended.status == ("failed" if True in outcomes[:2] else "cancelled")
    assert ended.sequence == 4  # accepted, claimed, started, ended


# --- the moves


async def test_start_says_since_when_it_runs(store: Store) -> None:
    made = await accepted(store)
    claim = await claimed(store, made.id)
    at = datetime.now(UTC) - timedelta(seconds=3)

    assert await store.transitions.start(claim, at) == "running"

    now = await store.generations.get(made.id)
    assert (now.status, now.started_at) == ("running", at)
    assert [attempt.started_at for attempt in await store.generations.attempts(made.id)] == [at]


async def test_a_second_start_changes_nothing(store: Store) -> None:
    made = await accepted(store)
    claim = await running(store, made.id)
    before = await everything_about(store, made)

    assert await store.transitions.start(claim, datetime.now(UTC)) == "running"

    assert await everything_about(store, made) == before


async def test_start_tells_of_a_cancel(store: Store) -> None:
    made = await accepted(store)
    claim = await claimed(store, made.id)
    await store.transitions.request_cancel(made.id)

    assert await store.transitions.start(claim, datetime.now(UTC)) == "cancelling"
    assert (await store.generations.get(made.id)).status == "cancelling"


async def test_progress_is_seen(store: Store) -> None:
    made = await accepted(store)
    claim = await running(store, made.id)

    assert await store.transitions.record_progress(claim, HALF, PREVIEW, None) == "running"

    now = await store.generations.get(made.id)
    assert (now.progress, now.waiting) == (HALF, None)
    assert await store.generations.preview(made.id) == PREVIEW


async def test_the_newest_progress_replaces_the_former(store: Store) -> None:
    made = await accepted(store)
    claim = await running(store, made.id)
    await store.transitions.record_progress(claim, HALF, PREVIEW, AWAY)
    newer = Preview(2, "image/png", b"newer")

    await store.transitions.record_progress(claim, ProgressRecord(75.0), newer, None)
    await store.transitions.record_progress(claim, ProgressRecord(80.0), None, None)

    now = await store.generations.get(made.id)
    assert (now.progress, now.waiting) == (ProgressRecord(80.0), None)
    assert await store.generations.preview(made.id) == newer


async def test_progress_tells_of_a_cancel(store: Store) -> None:
    _, claim = await brought_to(store, "cancelling")

    assert await store.transitions.record_progress(claim, HALF, None, None) == "cancelling"
    assert await store.transitions.status(claim) == "cancelling"


@pytest.mark.parametrize("ended", ["succeeded", "failed", "cancelled"])
async def test_no_progress_after_the_end(store: Store, ended: Status) -> None:
    made, claim = await brought_to(store, ended)

    with pytest.raises(FencedError):
        await store.transitions.record_progress(claim, HALF, PREVIEW, AWAY)

    assert await store.generations.get(made.id) == made
    with pytest.raises(NotFoundError):
        await store.generations.preview(made.id)


async def test_succeed_keeps_the_pictures_and_ends(store: Store) -> None:
    made = await accepted(store, batch_size=2)
    claim = await running(store, made.id)
    await store.transitions.record_progress(claim, HALF, PREVIEW, None)
    pictures = [an_image(claim, 1), an_image(claim, 0)]

    await store.transitions.succeed(claim, pictures)

    now = await store.generations.get(made.id)
    assert (now.status, now.progress) == ("succeeded", ProgressRecord(100.0))
    assert (now.error, now.waiting) == (None, None)
    assert now.finished_at is not None
    assert await store.generations.artefacts(made.id) == (pictures[1], pictures[0])
    assert await store.generations.artefact(pictures[0].id) == pictures[0]
    assert await store.generations.artefacts_of([made.id, NEVER]) == {
        made.id: (pictures[1], pictures[0]),
        NEVER: (),
    }
    [attempt] = await store.generations.attempts(made.id)
    assert (attempt.outcome, attempt.error) == ("succeeded", None)
    assert attempt.ended_at == now.finished_at
    with pytest.raises(NotFoundError):
        await store.generations.preview(made.id)


async def test_a_repeated_success_is_the_same_success(store: Store) -> None:
    """The answer to the commit may have been lost: then the save is done again."""
    made, claim = await brought_to(store, "succeeded")
    before = await everything_about(store, made)

    await store.transitions.succeed(claim, [an_image(claim)])

    assert await everything_about(store, made) == before


async def test_a_picture_that_was_found_finished_needs_no_start(store: Store) -> None:
    # Given a worker that submitted and stopped in good order
    made = await accepted(store)
    first = await claimed(store, made.id)
    await store.transitions.record_submission(first)
    await store.transitions.unclaim(first)

    # When the next one finds the picture already made
    again = await claimed(store, made.id)
    await store.transitions.succeed(again, [an_image(again)])

    assert (await store.generations.get(made.id)).status == "succeeded"


async def test_a_picture_that_came_before_the_cancel_is_kept(store: Store) -> None:
    made, claim = await brought_to(store, "cancelling")

    await store.transitions.succeed(claim, [an_image(claim)])

    assert (await store.generations.get(made.id)).status == "succeeded"
    assert len(await store.generations.artefacts(made.id)) == 1


async def test_fail_tells_why(store: Store) -> None:
    made = await accepted(store)
    claim = await running(store, made.id)
    await store.transitions.record_progress(claim, HALF, PREVIEW, AWAY)

    assert await store.transitions.fail(claim, OUT_OF_MEMORY)

    now = await store.generations.get(made.id)
    assert (now.status, now.error, now.waiting) == ("failed", OUT_OF_MEMORY, None)
    assert now.progress == HALF
    [attempt] = await store.generations.attempts(made.id)
    assert (attempt.outcome, attempt.error) == ("failed", OUT_OF_MEMORY)


async def test_release_gives_it_back_to_any_worker(store: Store) -> None:
    made = await accepted(store)
    claim = await running(store, made.id)
    await store.transitions.record_progress(claim, HALF, None, AWAY)

    await store.transitions.unclaim(claim)

    now = await store.generations.get(made.id)
    assert (now.status, now.attempt, now.progress, now.waiting) == ("queued", 1, None, None)
    again = await running(store, made.id, worker="gpu-2")
    assert again.prompt_id == claim.prompt_id
    assert (await store.generations.get(made.id)).status == "running"


WORKERS_MOVES: dict[Status, Write] = {
    "running": start,
    "succeeded": succeed,
    "failed": fail,
    "cancelled": cancelled,
}


@pytest.mark.parametrize("to", WORKERS_MOVES)
@pytest.mark.parametrize("status", STATUSES)
async def test_the_table_decides_which_moves_a_worker_makes(
    store: Store, status: Status, to: Status
) -> None:
    made, claim = await brought_to(store, status)
    before = await everything_about(store, made)

    with suppress(FencedError):
        await WORKERS_MOVES[to](store, claim)

    # Out of a final status leads only a retry, which is not the worker's to make.
    if to in FOLLOWERS[status] and status not in FINAL:
        assert (await store.generations.get(made.id)).status == to
    else:
        assert await everything_about(store, made) == before


@pytest.mark.parametrize(
    ("status", "then"),
    [("queued", "queued"), ("running", "queued"), ("cancelling", "cancelled")]
    + [(status, status) for status in sorted(FINAL)],
)
async def test_what_a_worker_gives_back_is_held_by_nobody(
    store: Store, status: Status, then: Status
) -> None:
    made, claim = await brought_to(store, status)

    await store.transitions.unclaim(claim)

    assert (await store.generations.get(made.id)).status == then
    if then == "queued":
        [attempt] = await store.generations.attempts(made.id)
        assert attempt.worker is None
        with pytest.raises(FencedError):
            await store.transitions.status(claim)


# --- who may claim


async def test_nobody_claims_what_never_was(store: Store) -> None:
    with pytest.raises(NotFoundError):
        await claimed(store, NEVER)


async def test_nobody_claims_what_was_deleted(store: Store) -> None:
    made = await accepted(store)
    await store.transitions.delete(made.id)

    with pytest.raises(DeletedError):
        await claimed(store, made.id)


@pytest.mark.parametrize("ended", ["cancelling", "succeeded", "failed", "cancelled"])
@pytest.mark.parametrize("rerun", [False, True])
async def test_a_stranger_claims_nothing_that_has_ended(
    store: Store, ended: Status, rerun: bool
) -> None:
    made, _ = await brought_to(store, ended)

    with pytest.raises(ConflictError):
        await claimed(store, made.id, rerun=rerun)

    assert await store.generations.get(made.id) == made


async def test_a_run_of_an_older_attempt_is_fenced_out(store: Store) -> None:
    # Given a generation that was cancelled and retried while its first run was stuck
    made, old_run = await accepted(store), uuid.uuid4()
    await claimed(store, made.id, flow_run_id=old_run, attempt=1)
    await store.flow_runs.settle(made.id, old_run, "failed", a_problem())
    await store.transitions.retry(made.id)

    # When the first run comes back
    for rerun in (False, True):
        with pytest.raises(FencedError):
            await claimed(store, made.id, flow_run_id=old_run, attempt=1, rerun=rerun)

    # Then the second has it
    claim = await claimed(store, made.id, attempt=2)
    assert (claim.attempt, claim.prompt_id) == (2, prompt_id(made.id, 2))


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
async def test_prefects_own_retry_begins_a_new_attempt(store: Store, ended: Status) -> None:
    # Given a run that ended badly
    made, run = await accepted(store), uuid.uuid4()
    first = await running(store, made.id, flow_run_id=run, attempt=1)
    await store.transitions.record_submission(first)
    if ended == "failed":
        await store.transitions.fail(first, OUT_OF_MEMORY)
    else:
        await store.transitions.cancelled(first)

    # When Prefect runs the same flow run again
    with pytest.raises(ConflictError):
        await claimed(store, made.id, flow_run_id=run, attempt=1)
    again = await claimed(store, made.id, flow_run_id=run, attempt=1, rerun=True)

    # Then it is a new attempt with a prompt of its own, and nothing is left of the end
    assert (again.attempt, again.prompt_id) == (2, prompt_id(made.id, 2))
    assert not again.submitted_before
    now = await store.generations.get(made.id)
    assert (now.status, now.attempt, now.flow_run_id) == ("queued", 2, run)
    assert (now.error, now.progress, now.started_at, now.finished_at) == (None, None, None, None)
    outcomes = [attempt.outcome for attempt in await store.generations.attempts(made.id)]
    assert outcomes == [ended, None]
    assert not await store.transitions.fail(first, OUT_OF_MEMORY)
    # And the same run goes on with that attempt when its worker dies.
    assert (await taken_over(store, made.id, flow_run_id=run, attempt=1, rerun=True)).attempt == 2


async def test_a_cancel_that_prefect_does_not_know_of_yet_is_no_retry(store: Store) -> None:
    """A run that was put back runs again, too: only what was told of the end asks for a retry."""
    made, run = await accepted(store), uuid.uuid4()
    first = await claimed(store, made.id, flow_run_id=run, attempt=1)
    await store.transitions.unclaim(first)
    await store.transitions.request_cancel(made.id)

    with pytest.raises(ConflictError):
        await claimed(store, made.id, flow_run_id=run, attempt=1, rerun=True)
    assert (await store.generations.get(made.id)).status == "cancelled"

    await empty_outbox(store)
    again = await claimed(store, made.id, flow_run_id=run, attempt=1, rerun=True)
    assert again.attempt == 2


async def test_a_crashed_run_goes_on_with_its_attempt(store: Store) -> None:
    made, run = await accepted(store), uuid.uuid4()
    first = await running(store, made.id, flow_run_id=run, attempt=1)
    await store.transitions.record_submission(first)

    again = await taken_over(store, made.id, flow_run_id=run, attempt=1, rerun=True)

    assert (again.attempt, again.prompt_id) == (1, first.prompt_id)
    assert again.submitted_before
    assert (await store.generations.get(made.id)).status == "queued"
