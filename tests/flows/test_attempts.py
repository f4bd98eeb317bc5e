"""Attempts: each goes from its claim to its end by itself, and is shown by who joins its stages."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from comfy import ComfySession
from comfy.emulator import Emulator
from core.requests import ResolvedRequest
from flows.attempts import stage as stages
from flows.attempts.attempt import Attempt, Kept, Stopped, StopReason, Unkept
from flows.attempts.past import PastAttempt
from flows.attempts.stage import Stage
from flows.errors import PastError
from flows.runtime import Runtime
from store.leases import LeaseKeeper
from store.store import Store
from store.values import Claim, Holder
from tests.comfy.data import resolved
from tests.harness.databases import a_store
from tests.harness.transactions import open_write

RUN = UUID(int=1)
AT_ONCE = ["build workflow", "submit", "poll", "save"]


@pytest.fixture
async def generation_id(store: Store) -> UUID:
    return (await store.acceptance.accept(resolved())).generation.id


async def claimed(runtime: Runtime, generation_id: UUID, run: UUID = RUN) -> Claim:
    return await runtime.store.transitions.claim(
        generation_id, flow_run_id=run, attempt=1, holder=runtime.holder
    )


@pytest.fixture
async def held(runtime: Runtime, generation_id: UUID) -> Claim:
    return await claimed(runtime, generation_id)


async def posted(emulator: Emulator, claim: Claim) -> None:
    async with asyncio.timeout(20):
        while claim.prompt_id not in emulator.posts:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)


async def shown(attempt: Attempt) -> list[Stage]:
    return [stage async for stage in attempt.stages()]


async def status(runtime: Runtime, claim: Claim) -> str:
    return (await runtime.store.generations.get(claim.generation_id)).status


async def is_queued(runtime: Runtime, claim: Claim) -> bool:
    return (await runtime.session.client.queue()).find(claim.prompt_id) is not None


def lines(stage: Stage) -> list[str]:
    return [line.text for line in stage.record.lines]


async def test_it_goes_from_its_claim_to_its_end_with_nobody_looking_on(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    attempt = runtime.attempts.begin(held, RUN)
    outcome = await attempt.outcome()
    assert isinstance(outcome, Kept)
    assert outcome.artefacts == await runtime.store.generations.artefacts(held.generation_id)
    assert await status(runtime, held) == "succeeded"
    assert emulator.posts == {held.prompt_id: 1}


async def test_who_comes_when_it_is_over_finds_all_of_it(runtime: Runtime, held: Claim) -> None:
    attempt = runtime.attempts.begin(held, RUN)
    await attempt.outcome()
    found = await shown(attempt)
    assert [stage.name for stage in found] == AT_ONCE
    times = [time for stage in found for time in (stage.began_at, stage.ended_at)]
    assert None not in times
    assert times == sorted(time for time in times if time is not None)
    assert lines(found[1]) == [f"Submitted to ComfyUI as prompt {held.prompt_id}"]
    assert "Kept http://easel.test/api/v1/artefacts/" in lines(found[3])[0]
    assert all(stage.outcome(7) == stage.tries[-1] for stage in found)


async def test_who_looks_on_sees_each_stage_begin(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    attempt = runtime.attempts.begin(held, RUN)
    seen = []
    async for stage in attempt.stages():
        seen.append(stage.name)
        if stage.name == "poll":
            assert stage.outcome(1) is None
            emulator.faults.clear()
    assert seen == AT_ONCE


async def test_what_is_taken_together_is_posted_in_its_order(
    runtime: Runtime, emulator: Emulator, store: Store
) -> None:
    accepted = await asyncio.gather(*(store.acceptance.accept(resolved()) for _ in range(6)))
    claims = [await claimed(runtime, one.generation.id, uuid4()) for one in accepted]
    begun = [runtime.attempts.begin(claim, uuid4()) for claim in claims]
    await asyncio.gather(*(attempt.outcome() for attempt in begun))
    assert list(emulator.posts) == [claim.prompt_id for claim in claims]


async def test_one_that_is_not_wanted_any_more_leaves_nothing(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    attempt = runtime.attempts.begin(held, RUN)
    await posted(emulator, held)
    await attempt.stop("cancel")
    assert await attempt.outcome() == Stopped("cancel")
    assert await status(runtime, held) == "cancelled"
    assert not await is_queued(runtime, held)
    assert await runtime.store.strays.of(emulator.url) == ()


async def test_one_whose_worker_stops_goes_back_and_its_prompt_stays(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    attempt = runtime.attempts.begin(held, RUN)
    await posted(emulator, held)
    await attempt.stop("release")
    assert await attempt.outcome() == Stopped("release")
    under_way = await runtime.store.generations.of_run(RUN)
    assert under_way is not None
    assert under_way.holder is None
    assert await status(runtime, held) == "queued"
    assert await is_queued(runtime, held)


async def test_one_that_is_cut_short_unforeseen_goes_back(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    attempt = runtime.attempts.begin(held, RUN)
    await posted(emulator, held)
    [task] = [one for one in asyncio.all_tasks() if one.get_name().startswith("attempt ")]
    task.cancel()
    assert await attempt.outcome() == Stopped("release")
    assert await status(runtime, held) == "queued"


async def test_a_cancel_by_a_client_ends_it(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    attempt = runtime.attempts.begin(held, RUN)
    await posted(emulator, held)
    await runtime.store.transitions.request_cancel(held.generation_id)
    outcome = await attempt.outcome()
    assert isinstance(outcome, Unkept)
    assert outcome.ended.how == "cancelled"
    assert await status(runtime, held) == "cancelled"


async def test_what_fails_in_passing_is_tried_again_and_each_try_is_known(
    runtime: Runtime, emulator: Emulator, held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "FIRST_PAUSE_S", 0.01)
    emulator.faults.answer("POST", "/prompt", status=503, times=2)
    attempt = runtime.attempts.begin(held, RUN)
    assert isinstance(await attempt.outcome(), Kept)
    [submit] = [stage for stage in await shown(attempt) if stage.name == "submit"]
    assert [type(one.error) for one in submit.tries][-1] is type(None)
    assert all(stages.is_passing(one.error) for one in submit.tries if one.error is not None)
    assert emulator.posts == {held.prompt_id: 1}


async def test_a_prompt_that_a_restart_lost_is_another_round(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    attempt = runtime.attempts.begin(held, RUN)
    await posted(emulator, held)
    await emulator.restart()
    emulator.faults.clear()
    assert isinstance(await attempt.outcome(), Kept)
    names = [stage.name for stage in await shown(attempt)]
    assert names == ["build workflow", "submit", "poll", "submit", "poll", "save"]
    assert emulator.posts == {held.prompt_id: 2}
    said = [line.text for line in attempt.record.unread()]
    assert said == ["ComfyUI restarted and lost the prompt; submitting it again"]
    assert attempt.record.unread() == []


async def test_a_flow_run_finds_its_attempt_until_that_was_shown(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    attempts = runtime.attempts
    assert attempts.of_run(RUN) is None
    attempt = attempts.begin(held, RUN)
    assert attempts.of_run(RUN) is attempt
    assert list(attempts.going) == [attempt]
    assert not attempts.idle.is_set()
    assert isinstance(await attempt.outcome(), Kept)
    await attempts.idle.wait()
    assert not attempts.going
    assert attempts.of_run(RUN) is attempt  # to be shown yet
    attempts.forget(attempt)
    assert attempts.of_run(RUN) is None
    assert emulator.posts == {held.prompt_id: 1}


async def test_one_that_nobody_shows_any_more_is_forgotten_when_it_is_over(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    """Its run was deleted, for example. A later run of that id has to be done."""
    emulator.faults.hang()
    attempts = runtime.attempts
    attempt = attempts.begin(held, RUN)
    attempts.forget(attempt)
    assert attempts.of_run(RUN) is attempt  # it goes on
    emulator.faults.clear()
    await attempt.outcome()
    await attempts.idle.wait()
    assert attempts.of_run(RUN) is None


async def test_one_that_gets_another_run_is_not_found_by_the_former(
    runtime: Runtime, held: Claim
) -> None:
    attempts, other, deployment = runtime.attempts, uuid4(), uuid4()
    attempt = attempts.begin(held, RUN)
    attempts.name_run(attempt, other, deployment)
    assert attempts.of_run(RUN) is None
    assert attempts.of_run(other) is attempt
    assert (attempt.flow_run_id, attempt.deployment_id) == (other, deployment)
    await attempt.stop("cancel")
    attempts.forget(attempt)
    assert attempts.of_run(other) is None


@pytest.mark.parametrize(
    ("reason", "expected"), [("cancel", "cancelled"), ("release", "queued"), ("pause", "queued")]
)
async def test_one_that_is_stopped_in_the_moment_that_it_begins(
    runtime: Runtime, emulator: Emulator, held: Claim, reason: StopReason, expected: str
) -> None:
    attempt = runtime.attempts.begin(held, RUN)
    await attempt.stop(reason)  # before its task had a step
    assert await attempt.outcome() == Stopped(reason)
    assert attempt.submitted.is_set()  # the next one does not wait for it
    assert await status(runtime, held) == expected
    assert emulator.posts == {}


async def test_one_that_prefect_cancels_too_while_it_is_being_cancelled(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    """As always: a client cancels, the row says so, and a moment later Prefect."""
    emulator.faults.hang(interruptible=False)  # so the cancel goes on
    attempt = runtime.attempts.begin(held, RUN)
    await posted(emulator, held)
    emulator.faults.answer("POST")  # as always: it shows when the cancel has reached ComfyUI
    await runtime.store.transitions.request_cancel(held.generation_id)
    async with asyncio.timeout(20):
        while any(rule["fault"] == "Answer" for rule in emulator.faults.active()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    attempt.ask_to_stop("cancel")
    emulator.faults.clear()
    assert await attempt.outcome() == Stopped("cancel")
    assert attempt.fault is None
    assert await status(runtime, held) == "cancelled"


@pytest.mark.parametrize(
    ("reason", "expected"), [("cancel", "cancelled"), ("release", "queued"), ("pause", "queued")]
)
async def test_one_that_is_stopped_while_its_failure_is_written(
    runtime: Runtime, store: Store, reason: StopReason, expected: str
) -> None:
    """The store may be away for long: a cancel must not turn into another try."""
    unknown = await store.acceptance.accept(resolved(workflow="nobody-has-it"))
    held = await claimed(runtime, unknown.generation.id)
    async with open_write(store.database):
        attempt = runtime.attempts.begin(held, RUN)
        async with asyncio.timeout(20):
            while not attempt.record.lines:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
        assert attempt.record.lines[0].text.startswith("Failed: ")
        attempt.ask_to_stop(reason)
    assert await attempt.outcome() == Stopped(reason)
    assert attempt.fault is None
    assert await status(runtime, held) in (expected, "failed")


async def untold(runtime: Runtime) -> list[PastAttempt]:
    """What ended without Prefect, as a worker that tells of it reads it."""
    store = runtime.store
    found = []
    for one in await store.queue.untold(10):
        generation = await store.generations.get(one.generation_id)
        assert isinstance(generation.request, ResolvedRequest)
        claim = Claim(generation.id, one.attempt, -1, "", generation.request, "", True)
        found.append(PastAttempt(claim, one, await store.generations.artefacts(generation.id)))
    return found


async def test_what_ended_is_kept_as_it_was_for_who_tells_prefect(
    runtime: Runtime, held: Claim
) -> None:
    attempt = runtime.attempts.begin(held, RUN)
    outcome = await attempt.outcome()
    [past] = await untold(runtime)
    stages = [stage async for stage in past.stages()]
    assert [stage.name for stage in stages] == AT_ONCE
    for stage, was in zip(stages[:3], (await shown(attempt))[:3], strict=True):
        assert (stage.began_at, stage.ended_at) == (was.began_at, was.ended_at)
        assert stage.record.lines == was.record.lines
        assert stage.is_over
    assert stages[3].ended_at == past.untold.ended_at  # it was written before its own end
    assert await past.outcome() == outcome
    await runtime.store.flow_runs.told(held.generation_id, held.attempt)
    assert await untold(runtime) == []


async def test_how_it_failed_is_kept_too(runtime: Runtime, emulator: Emulator, held: Claim) -> None:
    emulator.faults.fail_node("KSampler", "ValueError", "no such sampler")
    attempt = runtime.attempts.begin(held, RUN)
    assert isinstance(await attempt.outcome(), Unkept)
    [past] = await untold(runtime)
    stages = [stage async for stage in past.stages()]
    assert [stage.name for stage in stages] == AT_ONCE[:3]
    error = stages[-1].tries[-1].error
    assert isinstance(error, PastError)
    assert "no such sampler" in str(error)
    outcome = await past.outcome()
    assert isinstance(outcome, Unkept)
    assert (outcome.ended.how, outcome.is_foreseen) == ("failed", True)
    assert "no such sampler" in outcome.ended.detail


async def test_one_that_was_given_back_has_nothing_to_tell(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    attempt = runtime.attempts.begin(held, RUN)
    await posted(emulator, held)
    await attempt.stop("release")
    assert await untold(runtime) == []


class Calling(logging.Handler):
    """Calls at a line that begins so."""

    def __init__(self, beginning: str, call: Callable[[], None]) -> None:
        super().__init__()
        self._beginning = beginning
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(self._beginning):
            self._call()


@pytest.mark.parametrize("reason", ["cancel", "release", "pause"])
async def test_a_stop_comes_too_late_for_what_has_succeeded(
    runtime: Runtime, held: Claim, reason: StopReason
) -> None:
    attempt = runtime.attempts.begin(held, RUN)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        attempt.ask_to_stop(reason)

    async for stage in attempt.stages():
        stage.record.log.addHandler(Calling("Kept ", stop))
    assert stopped
    assert isinstance(await attempt.outcome(), Kept)
    assert await status(runtime, held) == "succeeded"


# --- a worker that stops, and a store that is away


@pytest.fixture
async def impatient(tmp_path: Path, emulator: Emulator) -> AsyncIterator[Runtime]:
    """With a store that is away as soon as another process writes."""
    url = a_store(tmp_path / "impatient" / "easel.db")
    async with (
        Store(url, str(tmp_path / "images"), patience_s=0.05) as store,
        LeaseKeeper(store.leases, "worker this one", 20) as lease,
        ComfySession(emulator.url, timeout_s=10, settle_s=0.1) as session,
    ):
        holder = Holder("this one", lease.holder, emulator.url)
        yield Runtime(
            store, session, lease, holder, "http://easel.test", None, tmp_path / "wildcards"
        )


@contextmanager
def away(folder: Path) -> Iterator[None]:
    """The store takes no write."""
    with closing(sqlite3.connect(folder / "impatient" / "easel.db", timeout=20)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize("reason", ["cancel", "release", "pause"])
async def test_who_stops_does_not_wait_for_a_store_that_is_away(
    impatient: Runtime, emulator: Emulator, tmp_path: Path, reason: StopReason
) -> None:
    """It is left to the lease, which says the same."""
    emulator.faults.hang()
    made = (await impatient.store.acceptance.accept(resolved())).generation
    held = await claimed(impatient, made.id)
    attempt = impatient.attempts.begin(held, RUN)
    await posted(emulator, held)
    with away(tmp_path):
        attempt.ask_to_stop(reason)
        await impatient.attempts.stop(within_s=0.1)
        assert await attempt.outcome() == Stopped("release")
    [left] = await impatient.store.queue.held_by_others(())
    assert (left.generation.id, left.holder) == (made.id, impatient.lease.holder)


async def test_who_stops_while_a_failure_is_written_does_not_wait_either(
    impatient: Runtime, tmp_path: Path
) -> None:
    unknown = await impatient.store.acceptance.accept(resolved(workflow="nobody-has-it"))
    held = await claimed(impatient, unknown.generation.id)
    with away(tmp_path):
        attempt = impatient.attempts.begin(held, RUN)
        async with asyncio.timeout(20):
            while not attempt.record.lines:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
        await impatient.attempts.stop(within_s=0.1)
        await impatient.attempts.idle.wait()
    assert await status(impatient, held) == "queued"
