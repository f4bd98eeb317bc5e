"""Runs that are led by accounts: what operators and bad networks do to them meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import AwaitingRetry, Cancelling, Paused

from comfy.emulator import Emulator
from flows.attempts.attempt import Attempt, Kept, Stopped
from flows.generate import generate
from flows.pipeline import PAUSED
from flows.prefect.accounts import PATH, ToldArtifact
from flows.prefect.runs import idempotency_key
from flows.prefect.wanted import wanted_run
from flows.runtime import Runtime
from flows.worker.teller import Teller
from tests.flows.gates import Pool
from tests.flows.leader import Led, leading, url_of
from tests.flows.prefect_server import Server
from tests.flows.test_accounts import until_it_polls
from tests.harness.faults import BlackHole, CutReply, DropReply, Fault, Rule
from tests.harness.proxy import FaultProxy

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("prefect")]
ACCOUNTS: Final = f"/api{PATH}"


@asynccontextmanager
async def behind_a_proxy(
    runtime: Runtime, pool: Pool, server: Server
) -> AsyncIterator[tuple[Led, FaultProxy]]:
    """What the worker tells goes through the proxy; the test asks the server itself."""
    assert server.http.base_url.port is not None
    with FaultProxy(server.http.base_url.port) as between:
        async with leading(runtime, pool, f"{between.url}/api") as led:
            yield led, between


async def until_it_runs(led: Led, attempt: Attempt) -> FlowRun:
    """The attempt's run, once Prefect has it, whatever its worker knows."""
    claim = attempt.claim
    key = FlowRunFilterIdempotencyKey(any_=[idempotency_key(claim.generation_id, claim.attempt)])
    wanted = FlowRunFilter(idempotency_key=key)
    async with asyncio.timeout(100):
        while not (found := await led.client.read_flow_runs(flow_run_filter=wanted)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found[0]


async def is_paused(led: Led, attempt: Attempt) -> FlowRun:
    """The attempt was given back as paused; its run is Paused, and is led no more."""
    assert await attempt.outcome() == Stopped("pause")
    run = await led.ended(attempt)
    assert run.state_type == StateType.PAUSED
    now = await led.runtime.store.generations.get(attempt.claim.generation_id)
    assert (now.status, now.waiting) == ("queued", PAUSED)
    return run


async def test_a_pause_stops_the_attempt_and_a_resume_lets_it_go_on(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt()
        led.leading.begin(attempt)
        await until_it_polls(led, attempt)
        assert attempt.flow_run_id is not None
        await led.client.set_flow_run_state(attempt.flow_run_id, Paused())
        led.operators.note(attempt.flow_run_id)
        run = await is_paused(led, attempt)

        emulator.faults.clear()
        await led.client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
        claim, flow_runs = attempt.claim, runtime.store.flow_runs
        assert await flow_runs.rejoin(claim.generation_id, run.id, 1, rerun=False) == "joined"
        again = await led.taken()
        assert (await led.done(again)).state_type == StateType.COMPLETED
        assert isinstance(await again.outcome(), Kept)


async def test_a_pause_that_comes_when_the_work_is_done_holds_nothing(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    """What is done is not done again: the run is Completed, without a flow that shows it."""
    emulator.faults.hang()
    async with behind_a_proxy(runtime, pool, server) as (led, between):
        attempt = await led.attempt()
        led.leading.begin(attempt)
        await until_it_polls(led, attempt)
        assert attempt.flow_run_id is not None
        between.add(Rule(BlackHole(), path=ACCOUNTS, times=None))
        emulator.faults.clear()
        await attempt.over()
        await led.client.set_flow_run_state(attempt.flow_run_id, Paused())
        await asyncio.to_thread(between.clear)
        run = await led.ended(attempt)
        assert (run.state_type, run.run_count) == (StateType.COMPLETED, 1)


@pytest.mark.parametrize("fault", [DropReply(), CutReply(after_bytes=20)], ids=repr)
async def test_a_lost_answer_changes_nothing(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator, fault: Fault
) -> None:
    emulator.faults.hang()
    async with behind_a_proxy(runtime, pool, server) as (led, between):
        lost = between.add(Rule(fault, path=ACCOUNTS, times=2))
        attempt = await led.attempt()
        led.leading.begin(attempt)
        await until_it_polls(led, attempt)
        emulator.faults.clear()
        run = await led.ended(attempt)
        assert lost.hits == 2
        assert (run.state_type, run.run_count) == (StateType.COMPLETED, 1)
        assert len(await led.tasks(run, 4)) == 4
        rows = server.rows_of(str(run.id))
        assert rows["flow_run_state"] == 4


@pytest.mark.parametrize(
    ("state", "reason"), [(Paused(), "pause"), (Cancelling(), "cancel")], ids=["pause", "cancel"]
)
async def test_what_an_operator_does_before_the_worker_knows_the_run_is_heeded(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator, state: Any, reason: Any
) -> None:
    """The first answer was lost, and so was the event: it tells of a run that nobody knows."""
    emulator.faults.hang()
    async with behind_a_proxy(runtime, pool, server) as (led, between):
        between.add(Rule(DropReply(), path=ACCOUNTS))
        between.add(Rule(BlackHole(), path=ACCOUNTS, times=None))
        attempt = await led.attempt()
        led.leading.begin(attempt)
        run = await until_it_runs(led, attempt)
        assert attempt.flow_run_id is None
        await led.client.set_flow_run_state(run.id, state, force=True)
        await asyncio.to_thread(between.clear)
        assert await attempt.outcome() == Stopped(reason)
        if reason == "pause":
            await is_paused(led, attempt)
            return
        assert (await led.ended(attempt)).state_type == StateType.CANCELLED
        assert await led.status(attempt) == "cancelled"


async def test_one_that_cannot_be_sent_holds_up_nothing(
    runtime: Runtime, pool: Pool, server: Server
) -> None:
    """Such as a request that another version wrote into the store."""
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt()
        await attempt.over()
        request = attempt.claim.request.model_copy(update={"priority": "a \ud800"})
        odd: Any = attempt
        odd.claim = type(attempt.claim)(**{**vars(attempt.claim), "request": request})
        async with asyncio.timeout(60):
            assert await led.leading.accounts.lead(attempt) == "plain"
        other = await led.attempt()
        assert (await led.done(other)).run_count == 1


async def test_progress_that_cannot_be_told_does_not_pile_up(
    runtime: Runtime,
    pool: Pool,
    server: Server,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While Prefect is away."""
    monkeypatch.setattr("flows.worker.teller.UPDATE_EVERY_S", 0.0)
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt()
        wanted = await wanted_run(led.runs, attempt.claim, None, generate, is_made=False)
        teller = Teller(runtime, attempt, wanted, ())
        async for stage in attempt.stages():
            if stage.name == "poll":
                break
        await teller.news()
        told: list[ToldArtifact] = []
        for percent in (10.0, 20.0, 30.0):
            attempt._on_progress(percent)
            [shown] = [one for one in (await teller.news()).artifacts if one.type == "progress"]
            assert (shown.data, shown.is_known) == (percent, False)
            told.append(shown)
            teller.may_have_arrived()
        assert len({(one.id, one.event_id) for one in told}) == 1
        teller.arrived()
        attempt._on_progress(40.0)
        [shown] = (await teller.news()).artifacts
        assert (shown.data, shown.is_known) == (40.0, True)
