"""A worker takes what it has room for from the store's queue, at once and in the queue's order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from comfy.emulator import Emulator
from flows.attempts import stage as stages
from flows.attempts.attempt import Attempt
from flows.prefect.gate import Gate, Paused
from flows.runtime import Runtime
from flows.worker import taking as taking_
from flows.worker.fair_order import OVERTAKEN_MAX
from flows.worker.last_model import LastModel
from flows.worker.offering import Offering
from flows.worker.slots import KEEPING_MOST, Slots
from flows.worker.taking import Taking
from store.store import Store
from tests.comfy.data import resolved
from tests.harness.transactions import open_write
from tests.store.other_versions import rewritten, with_another_field

NEVER_BUILT = "nobody-has-it"
"""A workflow whose attempts fail before they come to ComfyUI."""
MODELS = "sd15.safetensors", "sdxl.safetensors"


class Working:
    """A worker's slots, its offering and its taking, without Prefect."""

    def __init__(self, runtime: Runtime, slots: int, load_s: float = 5.0) -> None:
        self.gate = Gate()
        self.taken: list[UUID] = []
        self.rendered: list[UUID] = []
        self.last_model = LastModel()
        self.offering = Offering(runtime.store, runtime.session.client, self._changed)
        self._slots = Slots(slots)
        self.taking = Taking(
            *(runtime, self._slots, self._asked, self._begun),
            *(self.offering, self.last_model, load_s),
        )
        self.looks = 0
        runtime.attempts.on_rendered = self._rendered
        runtime.attempts.on_over = self._over

    def _changed(self) -> None:
        self.taking.loop.wake()

    def _asked(self) -> Gate:
        self.looks += 1
        return self.gate

    def _begun(self, attempt: Attempt) -> None:
        self.taken.append(attempt.claim.generation_id)

    def _rendered(self, attempt: Attempt) -> None:
        self._slots.rendered(attempt.claim.generation_id)
        self.rendered.append(attempt.claim.generation_id)
        self.taking.room()

    def _over(self, attempt: Attempt) -> None:
        self._slots.free(attempt.claim.generation_id)
        self.taking.room()

    async def look(self, *, times: int = 6) -> None:
        """Return after a whole round: one in which nothing is taken asks at most thrice."""
        before = self.looks
        async with asyncio.timeout(60):
            while self.looks < before + times:
                self.taking.loop.wake()
                await asyncio.sleep(0.005)

    async def has_taken(self, *generations: UUID) -> None:
        """Return when it has taken these and no others, and looked for more."""
        await until(lambda: len(self.taken) >= len(generations))
        await self.look()
        assert self.taken == list(generations)


@asynccontextmanager
async def at_work(runtime: Runtime, slots: int = 2, load_s: float = 5.0) -> AsyncIterator[Working]:
    working = Working(runtime, slots, load_s)
    await until(lambda: runtime.session.reachable)
    working.offering.back()
    try:
        async with AsyncExitStack() as stack:
            stack.enter_context(working.taking.listening())
            for loop in (*working.offering.loops, working.taking.loop):
                await stack.enter_async_context(loop)
            await until(lambda: working.offering.is_known)
            yield working
    finally:
        await asyncio.gather(*(one.stop("release") for one in runtime.attempts.going))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def accepted(store: Store, count: int, **fields: Any) -> list[UUID]:
    """Each has a seed of its own: ComfyUI does not execute again what it knows."""
    requests = [resolved(seed=seed, **fields) for seed in range(count)]
    return [(await store.acceptance.accept(request)).generation.id for request in requests]


async def test_it_takes_up_to_its_slots_and_another_when_a_prompt_has_left_comfyui(
    runtime: Runtime, emulator: Emulator, store: Store
) -> None:
    emulator.faults.hang(times=3)
    emulator.faults.answer("GET", "/view", status=503, times=1000)  # so it is not over
    first, second, third, fourth = await accepted(store, 4)
    async with at_work(runtime) as working:
        await working.has_taken(first, second)
        await until(lambda: emulator.faults.hanging)
        emulator.faults.release()
        await working.has_taken(first, second, third)
        assert working.rendered == [first]
        assert len(runtime.attempts.going) == 3
    assert (await store.generations.get(fourth)).status == "queued"


async def test_room_alone_is_no_reason_to_look_at_an_empty_queue(
    runtime: Runtime, store: Store
) -> None:
    async with at_work(runtime) as working:
        [made] = await accepted(store, 1)
        await until(lambda: working.taken == [made] and runtime.attempts.idle.is_set())
        await working.look()
        looks = working.looks
        working.taking.room()
        for _ in range(100):  # a loop that is woken begins its round within two
            await asyncio.sleep(0)
        assert working.looks == looks
        [another] = await accepted(store, 1)
        await until(lambda: working.taken == [made, another])


async def test_it_looks_again_for_what_it_chose_and_did_not_get(
    runtime: Runtime, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody signals that a row is not locked any more."""
    monkeypatch.setattr(taking_, "HEARING_LOOK_S", 3600.0)
    async with at_work(runtime) as working:
        working.gate = Gate(Paused("The pool rests."))
        [made] = await accepted(store, 1)
        await working.look()
        await rewritten(store, made, with_another_field)  # who claims it fails it, in vain
        looks, working.gate = working.looks, Gate()
        working.taking.loop.wake()
        await until(lambda: working.looks > looks + 3)
        assert (await store.generations.get(made)).status == "failed"


async def test_a_full_disk_stops_new_work(
    runtime: Runtime, emulator: Emulator, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "FIRST_PAUSE_S", 0.05)
    emulator.faults.answer("GET", "/view", status=503, times=1000)
    waiting = await accepted(store, KEEPING_MOST + 2)
    async with at_work(runtime, slots=1) as working:
        await until(lambda: len(working.rendered) == KEEPING_MOST)
        await working.has_taken(*waiting[:KEEPING_MOST])
        emulator.faults.clear()
        await until(lambda: len(working.rendered) == len(waiting))
        await runtime.attempts.idle.wait()
    assert [(await store.generations.get(one)).status for one in waiting] == ["succeeded"] * 6


async def test_what_another_process_puts_into_the_queue_wakes_it(
    runtime: Runtime, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOOK_S", "HEARING_LOOK_S"):
        monkeypatch.setattr(taking_, name, 3600)
    async with (
        at_work(runtime) as working,
        Store(store.database.url, str(tmp_path / "images")) as other,
    ):
        await working.look()
        [made] = await accepted(other, 1)
        await until(lambda: working.taken == [made])


@pytest.mark.parametrize(
    "gate",
    [Gate(limits=("At most 2.",)), Gate(Paused("The pool rests."))],
    ids=["a limit is set", "the pool is paused"],
)
async def test_it_takes_nothing_while_prefect_decides_or_all_is_paused(
    runtime: Runtime, store: Store, gate: Gate
) -> None:
    async with at_work(runtime) as working:
        working.gate = gate
        both = [*await accepted(store, 1), *await accepted(store, 1, priority="bulk")]
        await working.has_taken()
        working.gate = Gate()
        await working.has_taken(*both)


@pytest.mark.parametrize("rests", ["interactive", "bulk"])
async def test_a_paused_queue_holds_back_its_priority_only(
    runtime: Runtime, store: Store, rests: str
) -> None:
    async with at_work(runtime) as working:
        working.gate = Gate(Paused(None, {rests: "It rests."}))
        waiting = {
            priority: (await accepted(store, 1, priority=priority))[0]
            for priority in ("interactive", "bulk")
        }
        held = waiting.pop(rests)
        await working.has_taken(*waiting.values())
        working.gate = Gate()
        await working.has_taken(*waiting.values(), held)


async def test_it_takes_nothing_while_comfyui_is_away(
    runtime: Runtime, emulator: Emulator, store: Store
) -> None:
    async with at_work(runtime) as working:
        await emulator.stop()
        await until(lambda: not runtime.session.reachable)
        [made] = await accepted(store, 1)
        await working.has_taken()
        await emulator.start()
        await until(lambda: working.taken == [made])


async def test_it_takes_nothing_once_it_stops(runtime: Runtime, store: Store) -> None:
    async with at_work(runtime) as working:
        await working.taking.stop()
        [made] = await accepted(store, 1)
        working.taking.loop.wake()
        assert working.taken == []
    assert (await store.generations.get(made)).status == "queued"


async def test_what_it_claims_as_it_stops_has_begun_when_it_has_stopped(
    runtime: Runtime, store: Store
) -> None:
    """So that the worker gives it back: else it stays held until the worker's lease lapses."""
    async with at_work(runtime) as working:
        working.gate = Gate(Paused("The pool rests."))
        [made] = await accepted(store, 1)
        await working.look()
        async with open_write(store.database):
            working.gate = Gate()
            await working.look(times=2)  # it waits for its turn to write
            stopping = asyncio.create_task(working.taking.stop())
            await until(lambda: working.taking.is_stopped)
        await stopping
        assert [one.claim.generation_id for one in runtime.attempts.going] == [made]
    assert (await store.generations.under_way(10, 0))[0].holder is None


async def test_interactive_ones_go_first_and_each_priority_by_turn(
    runtime: Runtime, store: Store
) -> None:
    bulk = await accepted(store, 3, priority="bulk", workflow=NEVER_BUILT)
    interactive = await accepted(store, 2, workflow=NEVER_BUILT)
    async with at_work(runtime, slots=1) as working:
        await working.has_taken(*interactive, *bulk)


async def test_the_loaded_model_goes_first_within_bounds(runtime: Runtime, store: Store) -> None:
    """Each has failed before the next is taken: the model is that of the last one taken."""
    [loaded, *_] = ones = await accepted(store, 1, model=MODELS[0], workflow=NEVER_BUILT)
    [other] = await accepted(store, 1, model=MODELS[1], workflow=NEVER_BUILT)
    ones += await accepted(store, OVERTAKEN_MAX + 1, model=MODELS[0], workflow=NEVER_BUILT)
    async with at_work(runtime, slots=1) as working:
        await working.has_taken(*ones[: OVERTAKEN_MAX + 1], other, ones[-1])
    assert loaded == working.taken[0]
