"""Runs that come due in Prefect join the store's queue, or are refused to the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import AwaitingRetry, Running, Scheduled

from comfy.emulator import Emulator
from core.problems import problem
from flows.pipeline import PAUSED
from flows.prefect.runs import idempotency_key
from flows.runtime import Runtime
from flows.worker.joining import Joining, States
from store.store import Store
from store.values import Claim, Generation
from tests.comfy.data import resolved
from tests.flows.gates import Pool
from tests.flows.leader import leading, url_of
from tests.flows.prefect_server import Server
from tests.store.making import wait_until

RUN = UUID(int=1)


@pytest.fixture
def server(stock_server: Server) -> Server:
    """One that is not Easel's, so that runs are led by Prefect's own requests."""
    return stock_server


class Listed:
    """A worker's joining, to which Prefect lists runs.

    Without ``states`` each run stays as it was listed last.
    """

    def __init__(self, runtime: Runtime, states: States | None = None) -> None:
        self.refused: list[UUID] = []
        self.joining = Joining(
            runtime, states or self._as_listed, lambda run: self.refused.append(run.id)
        )
        self._seen: dict[UUID, FlowRun] = {}

    async def _as_listed(self, ids: Iterable[UUID]) -> dict[UUID, FlowRun]:
        return {run_id: self._seen[run_id] for run_id in ids if run_id in self._seen}

    def note(self, *runs: FlowRun) -> None:
        """Prefect lists these."""
        for run in runs:
            self._seen[run.id] = run
            self.joining.note(run)

    async def look(self, *runs: FlowRun) -> None:
        """Prefect lists these. Returns when all of them were joined or not."""
        self.note(*runs)
        last = run_of(None, parameters={"generation_id": "none"})
        self.joining.note(last)

        async def is_refused() -> bool:
            return last.id in self.refused

        await wait_until(is_refused)
        self.refused.remove(last.id)


@pytest.fixture
async def listed(runtime: Runtime) -> AsyncIterator[Listed]:
    listed = Listed(runtime)
    async with listed.joining.loop:
        yield listed


def run_of(
    made_for: tuple[UUID, int] | None,
    state: State[Any] | None = None,
    *,
    run_id: UUID | None = None,
    run_count: int = 0,
    parameters: dict[str, Any] | None = None,
) -> FlowRun:
    """A due run as Prefect lists it."""
    return FlowRun(
        id=run_id or uuid4(),
        flow_id=uuid4(),
        state=state or Scheduled(),
        idempotency_key=idempotency_key(*made_for) if made_for else None,
        parameters=parameters or {},
        run_count=run_count,
    )


async def accepted(store: Store) -> Generation:
    return (await store.acceptance.accept(resolved())).generation


async def taken(runtime: Runtime) -> Claim:
    claim = await runtime.store.queue.take(
        runtime.holder, lambda found: found[0], ["interactive", "bulk"]
    )
    assert claim is not None
    return claim


async def failed(runtime: Runtime) -> FlowRun:
    """A run whose generation failed, and that an operator retries."""
    made = await accepted(runtime.store)
    assert await runtime.store.flow_runs.record_run(made.id, 1, RUN, None)
    claim = await taken(runtime)
    assert await runtime.store.transitions.fail(claim, problem("run_failed", "no"))
    return run_of((made.id, 1), AwaitingRetry(), run_id=RUN, run_count=1)


async def test_one_whose_generation_waits_already_is_recorded_as_its_run(
    listed: Listed, store: Store
) -> None:
    made = await accepted(store)
    run = run_of((made.id, 1))
    await listed.look(run)
    assert listed.refused == []
    now = await store.generations.get(made.id)
    assert (now.status, now.attempt, now.flow_run_id) == ("queued", 1, run.id)


async def test_one_that_an_operator_retries_gets_a_new_attempt_in_the_queue(
    listed: Listed, runtime: Runtime
) -> None:
    run = await failed(runtime)
    await listed.look(run)
    claim = await taken(runtime)
    assert (claim.attempt, claim.flow_run_id) == (2, RUN)
    assert listed.refused == []


async def test_one_that_an_operator_resumes_may_be_taken_again(
    listed: Listed, runtime: Runtime
) -> None:
    made = await accepted(runtime.store)
    flow_runs = runtime.store.flow_runs
    assert await flow_runs.record_run(made.id, 1, RUN, None)
    assert await flow_runs.let_go(made.id, RUN, made.fence, PAUSED)
    await listed.look(run_of((made.id, 1), Scheduled(name="Resuming"), run_id=RUN))
    assert (await taken(runtime)).attempt == 1


async def test_one_that_was_started_in_prefect_becomes_a_generation_of_its_id(
    listed: Listed, runtime: Runtime, emulator: Emulator
) -> None:
    run = run_of(None, parameters={"request": {"prompt": "a fox", "steps": 2}})
    await listed.look(run)
    claim = await taken(runtime)
    assert claim.generation_id == claim.flow_run_id == run.id
    assert claim.request.prompt == "a fox"
    await listed.look(run_of(None, Scheduled(), run_id=run.id, parameters=run.parameters))
    assert len(await runtime.store.generations.under_way(10, 0)) == 1
    assert listed.refused == []


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"request": None},
        {"request": {"prompt": ""}},
        {"request": {"prompt": "a fox", "nonsense": 1}},
        {"request": {"prompt": "a fox", "workflow": "nobody-has-it"}},
        {"request": {"prompt": "a fox", "callback": "nobody-knows-it"}},
        {"generation_id": "7"},
    ],
)
async def test_one_that_cannot_be_made_is_refused_and_makes_nothing(
    listed: Listed, store: Store, parameters: dict[str, Any]
) -> None:
    run = run_of(None, parameters=parameters)
    await listed.look(run)
    assert listed.refused == [run.id]
    assert await store.generations.under_way(10, 0) == ()


async def test_one_that_has_nothing_more_to_do_is_refused_when_it_is_seen_twice_alike(
    listed: Listed, runtime: Runtime
) -> None:
    """Once is not enough: who did its attempt may be about to show it."""
    run = await failed(runtime)
    first, second = (
        run_of((await _of(run, runtime), 1), run_id=RUN),
        run_of((await _of(run, runtime), 1), run_id=RUN),
    )
    await listed.look(first)
    await listed.look(second)  # it has another state by now
    assert listed.refused == []
    await listed.look(second)
    assert listed.refused == [RUN]


async def _of(run: FlowRun, runtime: Runtime) -> UUID:
    seen = await runtime.store.generations.of_run(run.id)
    assert seen is not None
    return seen.generation.id


@pytest.mark.parametrize("gone", ["never there", "deleted"])
async def test_one_whose_generation_is_gone_is_refused_when_it_is_seen_twice(
    listed: Listed, store: Store, gone: str
) -> None:
    made = await accepted(store)
    if gone == "deleted":
        await store.transitions.delete(made.id)
    run = run_of((made.id if gone == "deleted" else uuid4(), 1))
    await listed.look(run)
    assert listed.refused == []
    await listed.look(run)
    assert listed.refused == [run.id]


async def test_one_of_an_attempt_that_goes_here_is_left_alone(
    listed: Listed, runtime: Runtime, emulator: Emulator
) -> None:
    emulator.faults.hang()
    run = await failed(runtime)
    await listed.look(run)
    attempt = runtime.attempts.begin(await taken(runtime), RUN)
    await attempt.stop("cancel")
    again = run_of(None, AwaitingRetry(), run_id=RUN, run_count=2)
    again.idempotency_key = run.idempotency_key
    await listed.look(again)
    seen = await runtime.store.generations.of_run(RUN)
    assert seen is not None
    assert (seen.generation.attempt, seen.generation.status) == (2, "cancelled")  # yet to be shown

    runtime.attempts.forget(attempt)
    await listed.look(again)  # put back by the worker that tells how it ended
    assert (await runtime.store.generations.get(seen.generation.id)).attempt == 2

    await runtime.store.flow_runs.told(seen.generation.id, 2)
    await listed.look(again)
    assert (await taken(runtime)).attempt == 3


async def test_it_is_not_asked_about_again_while_its_state_is_the_same(
    listed: Listed, runtime: Runtime
) -> None:
    run = await failed(runtime)
    await listed.look(run)
    assert await runtime.store.transitions.fail(await taken(runtime), problem("run_failed", "no"))
    await listed.look(run)  # Prefect's list is older than what happened here
    seen = await runtime.store.generations.of_run(RUN)
    assert seen is not None
    assert seen.generation.attempt == 2

    await listed.look(run_of((seen.generation.id, 1), AwaitingRetry(), run_id=RUN, run_count=2))
    assert (await taken(runtime)).attempt == 3


async def test_one_that_cannot_be_judged_now_does_not_hold_up_the_others(
    listed: Listed, runtime: Runtime, emulator: Emulator
) -> None:
    """What models there are is not known, and ComfyUI is away."""
    retried = await failed(runtime)
    adoptable = run_of(None, parameters={"request": {"prompt": "a fox"}})
    await emulator.stop()
    listed.note(adoptable, retried)

    async def is_joined() -> bool:
        seen = await runtime.store.generations.of_run(RUN)
        return seen is not None and seen.generation.attempt == 2

    await wait_until(is_joined)
    assert (await runtime.store.generations.of_run(adoptable.id)) is None
    await emulator.start()
    await listed.look()

    async def is_adopted() -> bool:
        return (await runtime.store.generations.of_run(adoptable.id)) is not None

    await wait_until(is_adopted)
    assert listed.refused == []


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("prefect")
async def test_one_that_was_listed_while_its_end_was_told_is_no_retry(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    """Another worker put it back to tell it. What an operator does afterwards is a retry."""
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        listed = Listed(runtime, led.runs.states)
        attempt = await led.attempt(has_run=True)
        assert attempt.flow_run_id is not None
        await led.client.set_flow_run_state(attempt.flow_run_id, Running(), force=True)
        await attempt.stop("cancel")
        run = await led.done(attempt)
        assert run.state_type == StateType.CANCELLED
        [listing] = led.worker.proposed
        assert (listing.state_type, listing.run_count) == (StateType.SCHEDULED, 1)
        generation_id = attempt.claim.generation_id

        async with listed.joining.loop:
            await listed.look(listing)
            now = await runtime.store.generations.get(generation_id)
            assert (now.status, now.attempt) == ("cancelled", 1)

            await led.client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
            await listed.look(await led.client.read_flow_run(run.id))
            now = await runtime.store.generations.get(generation_id)
            assert (now.status, now.attempt, now.flow_run_id) == ("queued", 2, run.id)
        assert listed.refused == []


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("prefect")
async def test_one_that_was_deleted_since_it_was_listed_is_no_retry(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        listed = Listed(runtime, led.runs.states)
        attempt = await led.attempt(has_run=True)
        await attempt.stop("cancel")
        run = await led.done(attempt)
        await led.client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
        listing = await led.client.read_flow_run(run.id)
        await led.client.delete_flow_run(run.id)
        async with listed.joining.loop:
            await listed.look(listing)
        now = await runtime.store.generations.get(attempt.claim.generation_id)
        assert (now.status, now.attempt) == ("cancelled", 1)
