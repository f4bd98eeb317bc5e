"""What operators do in Prefect to a run, applied to its generation as the run stands by then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import State
from prefect.events import Event
from prefect.states import AwaitingRetry, Cancelled, Paused

from comfy.emulator import Emulator
from flows.attempts.attempt import Attempt, Kept, Stopped
from flows.errors import PrefectUnavailableError
from flows.pipeline import PAUSED
from flows.runtime import Runtime
from flows.worker import events
from store.generations.flow_runs import Ended
from store.values import Generation, Holder
from tests.comfy.data import resolved
from tests.flows.gates import a_pool
from tests.flows.leader import Led, leading, url_of
from tests.flows.prefect_server import Server
from tests.harness.proxy import FaultProxy
from tests.harness.transactions import open_write
from tests.store.making import wait_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("prefect")]
RUN = UUID(int=1)


@dataclass
class Operated:
    """A worker, and an operator whose acts it hears of when the test says so."""

    led: Led

    @property
    def runtime(self) -> Runtime:
        return self.led.runtime

    async def a_generation(self) -> Generation:
        """One that waits, and its run."""
        store = self.runtime.store
        made = (await store.acceptance.accept(resolved())).generation
        run = await self.led.runs.start(made.id, 1, resolved())
        assert await store.flow_runs.record_run(made.id, 1, run.id, run.deployment_id)
        return await store.generations.get(made.id)

    async def an_attempt(self, generation: Generation) -> Attempt:
        """This worker's, under way."""
        claim = await self.runtime.store.queue.take(
            self.runtime.holder, lambda found: found[0], ["interactive"]
        )
        assert claim is not None
        assert claim.generation_id == generation.id
        return self.runtime.attempts.begin(claim, claim.flow_run_id)

    async def set_to(self, generation: Generation, state: State[Any]) -> None:
        """The operator does it."""
        await self.led.client.set_flow_run_state(run_of(generation), state, force=True)

    async def act(self, generation: Generation, state: State[Any]) -> None:
        """The operator does it, and the worker hears of it."""
        await self.set_to(generation, state)
        self.led.operators.note(run_of(generation))

    async def applied(self) -> None:
        """Return when all that was noted before has been applied: so has what came last."""
        last = await self.a_generation()
        await self.act(last, Cancelled())

        async def is_cancelled() -> bool:
            return (await self.now(last)).status == "cancelled"

        await wait_until(is_cancelled)

    async def now(self, generation: Generation) -> Generation:
        return await self.runtime.store.generations.get(generation.id)


def run_of(generation: Generation) -> UUID:
    assert generation.flow_run_id is not None
    return generation.flow_run_id


@asynccontextmanager
async def operated(
    runtime: Runtime, server: Server, url: str | None = None
) -> AsyncIterator[Operated]:
    """(Not a fixture: one task.) ``url``: where the worker asks how runs stand."""
    with a_pool(server) as pool:
        async with leading(runtime, pool, url or url_of(server)) as led:
            yield Operated(led)


async def test_one_that_waits_is_cancelled(runtime: Runtime, server: Server) -> None:
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        await at.act(made, Cancelled())
        await at.applied()
        assert (await at.now(made)).status == "cancelled"


async def test_one_that_waits_is_held_back_until_its_run_is_resumed(
    runtime: Runtime, server: Server
) -> None:
    store = runtime.store
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        await at.act(made, Paused())
        await at.applied()
        now = await at.now(made)
        assert (now.status, now.waiting) == ("queued", PAUSED)
        first = await store.queue.take(runtime.holder, lambda found: found[0], ["interactive"])
        assert first is None
        rejoined = await store.flow_runs.rejoin(made.id, run_of(made), 1, rerun=False)
        assert rejoined == "joined"
        await (await at.an_attempt(made)).stop("release")


async def test_one_that_is_paused_and_cancelled_is_cancelled(
    runtime: Runtime, server: Server
) -> None:
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        await at.act(made, Paused())
        await at.act(made, Cancelled())
        await at.applied()
        assert (await at.now(made)).status == "cancelled"


async def test_a_cancel_that_is_heard_of_after_the_retry_leaves_the_new_attempt(
    runtime: Runtime, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    flow_runs = runtime.store.flow_runs
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        run = run_of(made)
        await at.set_to(made, Cancelled())
        assert await flow_runs.settle(made.id, run, "cancelled", None)
        await at.set_to(made, AwaitingRetry())
        ended = await flow_runs.rejoin(made.id, run, 1, rerun=True)
        assert isinstance(ended, Ended)
        assert await flow_runs.begin_again(made.id, run, ended)
        at.led.operators.note(run)  # it waits
        await at.applied()
        assert (await at.now(made)).status == "queued"
        attempt = await at.an_attempt(made)
        at.led.operators.note(run)  # it is worked on
        await at.applied()
        assert (await at.now(made)).attempt == 2
        emulator.faults.clear()
        assert isinstance(await attempt.outcome(), Kept)


async def test_a_pause_that_is_heard_of_after_it_was_resumed_holds_nothing_back(
    runtime: Runtime, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        await at.set_to(made, Paused())
        await at.act(made, AwaitingRetry())
        await at.applied()
        assert (await at.now(made)).waiting is None
        attempt = await at.an_attempt(made)
        at.led.operators.note(run_of(made))
        await at.applied()
        emulator.faults.clear()
        assert isinstance(await attempt.outcome(), Kept)


async def test_while_prefect_is_away_it_stays_noted(runtime: Runtime, server: Server) -> None:
    assert server.http.base_url.port is not None
    with FaultProxy(server.http.base_url.port) as between:
        async with operated(runtime, server, f"{between.url}/api") as at:
            made = await at.a_generation()
            await asyncio.to_thread(between.block)
            await at.act(made, Cancelled())
            with pytest.raises(PrefectUnavailableError):
                await at.led.operators._apply()
            assert (await at.now(made)).status == "queued"
            await asyncio.to_thread(between.unblock)
            await at.applied()
            assert (await at.now(made)).status == "cancelled"


async def test_an_attempt_whose_flow_has_not_begun_is_cancelled(
    runtime: Runtime, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        attempt = await at.an_attempt(made)
        await at.act(made, Cancelled())
        assert await attempt.outcome() == Stopped("cancel")
        assert (await at.now(made)).status == "cancelled"


async def test_one_that_takes_long_to_cancel_does_not_hold_up_the_others(
    runtime: Runtime, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang(interruptible=False)
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        attempt = await at.an_attempt(made)
        async with asyncio.timeout(20):
            while not emulator.faults.hanging:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
        await at.act(made, Cancelled())
        await at.applied()
        assert not attempt.is_over
        emulator.faults.clear()
        assert await attempt.outcome() == Stopped("cancel")


async def test_an_attempt_that_goes_is_paused_and_finds_its_prompt_when_it_is_resumed(
    runtime: Runtime, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        attempt = await at.an_attempt(made)
        async with asyncio.timeout(20):
            while not emulator.faults.hanging:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
        await at.act(made, Paused())
        assert await attempt.outcome() == Stopped("pause")
        now = await at.now(made)
        assert (now.status, now.waiting) == ("queued", PAUSED)
        rejoined = await runtime.store.flow_runs.rejoin(made.id, run_of(made), 1, rerun=False)
        assert rejoined == "joined"
        emulator.faults.clear()
        assert isinstance(await (await at.an_attempt(made)).outcome(), Kept)
        assert sum(emulator.posts.values()) == 1


@pytest.mark.parametrize("state", [Cancelled(), Paused()], ids=lambda state: state.name)
async def test_what_another_worker_does_is_left_to_it(
    runtime: Runtime, server: Server, state: State[Any]
) -> None:
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        other = Holder("another", uuid4(), "http://other")
        claim = await runtime.store.queue.take(other, lambda found: found[0], ["interactive"])
        assert claim is not None
        await at.act(made, state)
        await at.applied()
        assert await runtime.store.transitions.status(claim) == "queued"  # it still holds it


@pytest.mark.parametrize("state", [Cancelled(), Paused()], ids=lambda state: state.name)
async def test_one_that_has_ended_stays_as_it_is(
    runtime: Runtime, server: Server, state: State[Any]
) -> None:
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        await (await at.an_attempt(made)).outcome()
        before = await at.now(made)
        await at.act(made, state)
        at.led.operators.note(uuid4())  # of no generation at all
        await at.applied()
        assert await at.now(made) == before
        assert before.status == "succeeded"


async def test_what_comes_while_the_store_is_busy_is_applied_afterwards(
    runtime: Runtime, server: Server
) -> None:
    async with operated(runtime, server) as at:
        made = await at.a_generation()
        async with open_write(runtime.store.database):
            await at.act(made, Cancelled())
        await at.applied()
        assert (await at.now(made)).status == "cancelled"


def cancelled_run(message: str | None, name: str = "Cancelled") -> Event:
    """As Prefect's server tells it."""
    state: dict[str, Any] = {"type": "CANCELLED", "name": name, "message": message}
    return Event.model_validate(
        {
            "event": f"prefect.flow-run.{name}",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{RUN}"},
            "payload": {"validated_state": state},
            "id": str(uuid4()),
        }
    )


@pytest.mark.parametrize("message", [None, "", "Cancelled through Easel.", "I do not want it"])
def test_a_cancel_is_heard(message: str | None) -> None:
    assert events.is_cancelled(cancelled_run(message))
    assert events.flow_run_of(cancelled_run(message)) == RUN


@pytest.mark.parametrize("kind", ["generation", "batch"])
def test_a_run_that_the_worker_of_another_store_ended_is_not_cancelled(kind: str) -> None:
    assert not events.is_cancelled(cancelled_run(f"Nothing to do: no {kind} {uuid4()}"))
