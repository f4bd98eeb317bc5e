"""What operators do in Prefect to a run that shows no attempt yet, applied to its generation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.events import Event

from comfy.emulator import Emulator
from flows.attempts.attempt import Stopped
from flows.reconcile.rules import PAUSED
from flows.runtime import Runtime
from flows.worker import events
from flows.worker.operators import Act, Operators
from store.store import Store
from store.values import Generation, Holder
from tests.comfy.data import resolved
from tests.harness.transactions import open_write
from tests.store.making import wait_until

RUN = UUID(int=1)


@pytest.fixture
async def operators(runtime: Runtime) -> AsyncIterator[Operators]:
    operators = Operators(runtime)
    async with operators.loop:
        yield operators


async def a_generation(store: Store, run: UUID = RUN) -> Generation:
    """One that waits, and its run."""
    made = (await store.acceptance.accept(resolved())).generation
    assert await store.transitions.record_run(made.id, 1, run, None)
    return await store.generations.get(made.id)


async def applied(operators: Operators, store: Store) -> None:
    """Return when all that was noted before has been applied: so has what came last."""
    last = await a_generation(store, uuid4())
    assert last.flow_run_id is not None
    operators.note(last.flow_run_id, "cancelled")

    async def is_cancelled() -> bool:
        return (await store.generations.get(last.id)).status == "cancelled"

    await wait_until(is_cancelled)


async def test_one_that_waits_is_cancelled(operators: Operators, store: Store) -> None:
    made = await a_generation(store)
    operators.note(RUN, "cancelled")
    await applied(operators, store)
    assert (await store.generations.get(made.id)).status == "cancelled"


async def test_one_that_waits_is_held_back_until_its_run_is_resumed(
    operators: Operators, store: Store, runtime: Runtime
) -> None:
    made = await a_generation(store)
    operators.note(RUN, "paused")
    await applied(operators, store)
    now = await store.generations.get(made.id)
    assert (now.status, now.waiting) == ("queued", PAUSED)
    first = await store.queue.take(runtime.holder, lambda found: found[0], ["interactive"])
    assert first is None
    assert await store.transitions.rejoin(made.id, RUN, 1, rerun=False) == "joined"
    claim = await store.queue.take(runtime.holder, lambda found: found[0], ["interactive"])
    assert claim is not None
    assert claim.generation_id == made.id


async def test_one_that_is_paused_and_cancelled_is_cancelled(
    operators: Operators, store: Store
) -> None:
    made = await a_generation(store)
    operators.note(RUN, "paused")
    operators.note(RUN, "cancelled")
    await applied(operators, store)
    assert (await store.generations.get(made.id)).status == "cancelled"


async def test_an_attempt_whose_flow_has_not_begun_is_cancelled(
    operators: Operators, store: Store, runtime: Runtime, emulator: Emulator
) -> None:
    emulator.faults.hang()
    made = await a_generation(store)
    claim = await store.queue.take(runtime.holder, lambda found: found[0], ["interactive"])
    assert claim is not None
    attempt = runtime.attempts.begin(claim, RUN)
    operators.note(RUN, "cancelled")
    assert await attempt.outcome() == Stopped("cancel")
    assert (await store.generations.get(made.id)).status == "cancelled"


async def test_one_that_takes_long_to_cancel_does_not_hold_up_the_others(
    operators: Operators, store: Store, runtime: Runtime, emulator: Emulator
) -> None:
    emulator.faults.hang(interruptible=False)
    await a_generation(store)
    claim = await store.queue.take(runtime.holder, lambda found: found[0], ["interactive"])
    assert claim is not None
    attempt = runtime.attempts.begin(claim, RUN)
    async with asyncio.timeout(20):
        while not emulator.faults.hanging:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
    operators.note(RUN, "cancelled")
    await applied(operators, store)
    assert not attempt.is_over
    emulator.faults.clear()
    assert await attempt.outcome() == Stopped("cancel")


async def test_an_attempt_that_goes_is_not_paused(
    operators: Operators, store: Store, runtime: Runtime, emulator: Emulator
) -> None:
    """It is the reconciler's to let go of it."""
    emulator.faults.hang()
    await a_generation(store)
    claim = await store.queue.take(runtime.holder, lambda found: found[0], ["interactive"])
    assert claim is not None
    attempt = runtime.attempts.begin(claim, RUN)
    operators.note(RUN, "paused")
    await applied(operators, store)
    assert not attempt.is_over
    await attempt.stop("release")


@pytest.mark.parametrize("act", ["cancelled", "paused"])
async def test_what_another_worker_does_is_left_to_it(
    operators: Operators, store: Store, act: Act
) -> None:
    await a_generation(store)
    other = Holder("another", uuid4(), "http://other")
    claim = await store.queue.take(other, lambda found: found[0], ["interactive"])
    assert claim is not None
    operators.note(RUN, act)
    await applied(operators, store)
    assert await store.transitions.status(claim) == "queued"  # it still holds it


@pytest.mark.parametrize("act", ["cancelled", "paused"])
async def test_one_that_has_ended_stays_as_it_is(
    operators: Operators, store: Store, runtime: Runtime, act: Act
) -> None:
    made = await a_generation(store)
    claim = await store.queue.take(runtime.holder, lambda found: found[0], ["interactive"])
    assert claim is not None
    await runtime.attempts.begin(claim, RUN).outcome()
    before = await store.generations.get(made.id)
    operators.note(RUN, act)
    operators.note(uuid4(), act)  # of no generation at all
    await applied(operators, store)
    assert await store.generations.get(made.id) == before
    assert before.status == "succeeded"


async def test_what_comes_while_the_store_is_busy_is_applied_afterwards(
    operators: Operators, store: Store
) -> None:
    made = await a_generation(store)
    async with open_write(store.database):
        operators.note(RUN, "cancelled")
    await applied(operators, store)
    assert (await store.generations.get(made.id)).status == "cancelled"


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
