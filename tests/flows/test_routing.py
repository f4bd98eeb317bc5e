"""A generation goes where it can be done, and there to the worker that would start it first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from comfy import ComfySession
from comfy.emulator import Emulator, EmulatorOptions
from core.workflows.plan import Plan
from flows.adoption import what_is_known
from flows.fleet import FleetWatch
from flows.runtime import Runtime, worker_lease
from flows.worker import routing
from store.leases import LeaseKeeper
from store.store import Store
from store.values import Generation, Holder, Queued, WorkerRecord
from tests.comfy.data import resolved
from tests.comfy.families.files import SDXL as ROWS
from tests.comfy.families.files import prefixed, safetensors
from tests.flows.test_taking import Working, at_work, until

BOTH, FLUX, SDXL = "both.safetensors", "flux.safetensors", "sdxl.safetensors"
MODEL = "model.diffusion_model."
LONG_S = 3600.0
"""Longer than any test."""


@pytest.fixture(autouse=True)
def hears_of_others_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "ALONE_FOR_S", 0.0)


class Worker:
    """A worker beside an emulator of its own; ``says`` writes its record, as its heartbeat does."""

    def __init__(self, runtime: Runtime, emulator: Emulator, working: Working) -> None:
        self.runtime = runtime
        self.emulator = emulator
        self.working = working

    @property
    def taken(self) -> list[UUID]:
        return self.working.taken

    async def says(
        self, last_model: str | None = None, rate: float | None = None, *, reachable: bool = True
    ) -> None:
        holder = self.runtime.holder
        self.working.last_model.name = last_model
        now = datetime.now(UTC)
        record = WorkerRecord(
            *(holder.worker, holder.comfy_url, reachable, None, now, now),
            holder=holder.lease,
            slots=2,
            last_model=last_model,
            seconds_per_cost=rate,
        )
        await self.runtime.store.registry.record_worker(record)

    async def takes_nothing(self) -> None:
        before = list(self.taken)
        await self.working.look()
        assert self.taken == before

    async def has_taken(self, *generations: Generation) -> None:
        await until(lambda: self.taken == [one.id for one in generations])

    async def offer(self, *checkpoints: str) -> None:
        """Let its ComfyUI have other models, of which it hears when it looks."""
        await self.emulator.stop()
        await until(lambda: not self.runtime.session.reachable)
        self.emulator.options = replace(self.emulator.options, checkpoints=checkpoints)
        await self.emulator.start()


@asynccontextmanager
async def a_worker(
    store: Store,
    folder: Path,
    name: str,
    *checkpoints: str,
    load_s: float = LONG_S,
    slots: int = 2,
    models_dir: Path | None = None,
) -> AsyncIterator[Worker]:
    options = EmulatorOptions(step_time=0.005, checkpoints=checkpoints, models_dir=models_dir)
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(Emulator(options))
        lease = await stack.enter_async_context(
            LeaseKeeper(store.leases, worker_lease(name), LONG_S)
        )
        backs: list[Callable[[], None]] = []

        def on_reachable(reachable: bool, _detail: str) -> None:
            for back in backs if reachable else ():
                back()

        session = await stack.enter_async_context(
            ComfySession(emulator.url, timeout_s=10, settle_s=0.1, on_reachable=on_reachable)
        )
        holder = Holder(name, lease.holder, emulator.url)
        runtime = Runtime(store, session, lease, holder, "http://easel.test", None, folder)
        working = await stack.enter_async_context(at_work(runtime, slots, load_s))
        backs.append(working.offering.back)
        worker = Worker(runtime, emulator, working)
        await worker.says()
        yield worker


async def wanting(store: Store, model: str, seed: int = 1, **more: Any) -> Generation:
    plan = Plan(model=model, models={"checkpoints": (model,)}, cost=1.0, outputs=1)
    request = resolved(model=model, seed=seed, plan=plan, **more)
    return (await store.acceptance.accept(request)).generation


async def status_is(store: Store, made: Generation, status: str) -> None:
    async with asyncio.timeout(60):
        while (await store.generations.get(made.id)).status != status:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def standing_still(*workers: Worker) -> Any:
    """Nothing that their ComfyUIs begin ends meanwhile."""
    for one in workers:
        one.emulator.faults.hang(times=100)
    try:
        yield
    finally:
        for one in workers:
            one.emulator.faults.clear()
            one.emulator.faults.release()


# --- where it can be done


async def test_each_is_done_where_its_model_is(store: Store, tmp_path: Path) -> None:
    async with (
        a_worker(store, tmp_path, "a", SDXL) as first,
        a_worker(store, tmp_path, "b", FLUX) as second,
    ):
        flux = [await wanting(store, FLUX, seed) for seed in range(3)]
        sdxl = [await wanting(store, SDXL, seed) for seed in range(3)]
        for one in (*flux, *sdxl):
            await status_is(store, one, "succeeded")
        assert second.taken == [one.id for one in flux]
        assert first.taken == [one.id for one in sdxl]


async def test_what_only_an_absent_worker_has_waits_for_it_and_nothing_else_does(
    store: Store, tmp_path: Path
) -> None:
    async with a_worker(store, tmp_path, "a", SDXL) as first:
        flux = await wanting(store, FLUX)
        later = await wanting(store, SDXL)
        await status_is(store, later, "succeeded")
        await first.takes_nothing()
        async with a_worker(store, tmp_path, "b", FLUX):
            await status_is(store, flux, "succeeded")


async def test_a_model_that_comes_with_its_comfyui_is_used_at_once(
    store: Store, tmp_path: Path
) -> None:
    async with a_worker(store, tmp_path, "a", SDXL) as worker:
        flux = await wanting(store, FLUX)
        await worker.takes_nothing()
        await worker.offer(SDXL, FLUX)
        await status_is(store, flux, "succeeded")


async def test_a_model_that_has_gone_with_its_comfyui_is_waited_for(
    store: Store, tmp_path: Path
) -> None:
    async with a_worker(store, tmp_path, "a", SDXL, FLUX) as worker:
        await worker.offer(SDXL)
        flux, sdxl = await wanting(store, FLUX), await wanting(store, SDXL)
        await status_is(store, sdxl, "succeeded")
        await worker.takes_nothing()
        assert worker.taken == [sdxl.id]
        assert (await store.generations.get(flux.id)).status == "queued"


async def test_a_model_that_vanished_unseen_sends_its_generation_back(
    store: Store, tmp_path: Path
) -> None:
    there = tmp_path / "models"
    (there / "checkpoints").mkdir(parents=True)
    for name in (SDXL, FLUX):
        (there / "checkpoints" / name).write_bytes(safetensors(prefixed(MODEL, ROWS)))
    async with a_worker(store, tmp_path, "a", models_dir=there) as worker:
        working = worker.working
        (there / "checkpoints" / FLUX).unlink()
        given_back: list[tuple[str, ...]] = []
        over = worker.runtime.attempts.on_over

        def on_over(attempt: Any) -> None:
            if attempt.lacked:
                given_back.append(attempt.lacked)
                working.offering.back()
            over(attempt)

        worker.runtime.attempts.on_over = on_over
        flux = await wanting(store, FLUX)
        await until(lambda: given_back)
        await status_is(store, flux, "queued")
        await until(lambda: working.offering.is_known)
        await worker.takes_nothing()
        assert given_back == [(FLUX,)]

        async with a_worker(store, tmp_path, "b", FLUX):
            await status_is(store, flux, "succeeded")
        assert [one.worker for one in await store.generations.attempts(flux.id)] == ["b"]


async def test_what_is_not_known_of_a_comfyui_is_tried(store: Store, tmp_path: Path) -> None:
    async with a_worker(store, tmp_path, "a", SDXL) as worker:
        worker.emulator.faults.answer("GET", "/object_info", status=500, times=1000)
        await worker.emulator.stop()
        await until(lambda: not worker.runtime.session.reachable)
        url = worker.runtime.holder.comfy_url
        await store.registry.rename_comfy(url, "http://elsewhere")  # what was known is forgotten
        await worker.emulator.start()
        await until(lambda: worker.working.offering.is_known)
        sdxl = await wanting(store, SDXL)
        await status_is(store, sdxl, "succeeded")


async def test_a_run_from_prefect_is_resolved_by_what_all_workers_have(
    store: Store, tmp_path: Path
) -> None:
    async with (
        a_worker(store, tmp_path, "a", SDXL) as first,
        a_worker(store, tmp_path, "b", FLUX) as second,
    ):
        urls = {one.runtime.holder.comfy_url for one in (first, second)}
        while (await store.registry.catalogues_at()).keys() != urls:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        known = await what_is_known(store, first.runtime.session.client, None, paid_nodes=False)
        assert known.catalogue is not None
        assert known.catalogue.checkpoints == (SDXL, FLUX)
        assert known.judge is not None
        assert {SDXL, FLUX} <= known.judge.catalogue.file_choices


# --- who would start it first


async def test_it_goes_to_the_worker_that_has_the_model_loaded(
    store: Store, tmp_path: Path
) -> None:
    async with (
        a_worker(store, tmp_path, "a", SDXL, FLUX) as first,
        a_worker(store, tmp_path, "b", SDXL, FLUX) as second,
    ):
        await first.says(SDXL, rate=1.0)
        await second.says(FLUX, rate=1.0)
        made = [await wanting(store, model) for model in (FLUX, SDXL)]
        for one in made:
            await status_is(store, one, "succeeded")
        await second.has_taken(made[0])
        await first.has_taken(made[1])


async def test_what_waits_longer_than_a_load_is_done_by_who_has_to_load(
    store: Store, tmp_path: Path
) -> None:
    """The busy one renders for 10 s each, by its measured speed; a load takes 15."""
    async with (
        a_worker(store, tmp_path, "a", FLUX, SDXL, load_s=15.0) as idle,
        a_worker(store, tmp_path, "b", FLUX, SDXL, load_s=15.0, slots=1) as busy,
    ):
        await idle.says(SDXL, rate=10.0)
        await busy.says(FLUX, rate=10.0)
        with standing_still(idle, busy):
            first = await wanting(store, FLUX, 1)
            await busy.has_taken(first)
            second, third = await wanting(store, FLUX, 2), await wanting(store, FLUX, 3)
            await idle.has_taken(third)
            assert (await store.generations.get(second.id)).status == "queued"
        await status_is(store, second, "succeeded")


async def test_nothing_is_left_for_longer_than_a_load_takes(store: Store, tmp_path: Path) -> None:
    """Who should start it first does not: it has stopped to take anything."""
    async with (
        a_worker(store, tmp_path, "a", FLUX, SDXL, load_s=0.5) as first,
        a_worker(store, tmp_path, "b", FLUX, SDXL) as second,
    ):
        await second.working.taking.stop()
        await first.says(SDXL, rate=1.0)
        await second.says(FLUX, rate=1.0)
        made = await wanting(store, FLUX)
        await first.has_taken(made)


async def test_a_worker_that_is_away_is_not_waited_for(store: Store, tmp_path: Path) -> None:
    async with a_worker(store, tmp_path, "a", FLUX, SDXL) as first:
        async with a_worker(store, tmp_path, "b", FLUX, SDXL) as second:
            await second.working.taking.stop()
            await first.says(SDXL, rate=1.0)
            await second.says(FLUX, rate=1.0, reachable=False)
            unreachable = await wanting(store, FLUX)
            await first.has_taken(unreachable)
            await first.says(SDXL, rate=1.0)
            await second.says(FLUX, rate=1.0)
        # Its lease is given up; its record says nothing of that.
        left = await wanting(store, FLUX, 2)
        await first.has_taken(unreachable, left)


async def test_a_slot_ahead_is_not_filled_while_another_gpu_is_idle(
    store: Store, tmp_path: Path
) -> None:
    async with (
        a_worker(store, tmp_path, "a", SDXL) as first,
        a_worker(store, tmp_path, "b", SDXL) as second,
    ):
        for one in (first, second):
            await one.says(SDXL, rate=10.0)
        with standing_still(first, second):
            made = [await wanting(store, SDXL, seed) for seed in range(2)]
            await until(lambda: len(first.taken) + len(second.taken) == 2)
            assert len(first.taken) == len(second.taken) == 1
            assert {*first.taken, *second.taken} == {one.id for one in made}


async def test_what_another_one_lacks_is_not_left_to_it(store: Store, tmp_path: Path) -> None:
    """Though it has the model loaded: it has not the LoRA."""
    async with (
        a_worker(store, tmp_path, "a", SDXL, FLUX) as first,
        a_worker(store, tmp_path, "b", FLUX) as second,
    ):
        emulator = second.emulator
        emulator.options = replace(emulator.options, loras=())
        await second.offer(FLUX)
        await until(lambda: second.working.offering.is_known)
        await first.says(SDXL, rate=1.0)
        await second.says(FLUX, rate=1.0)
        lora = "emulator-lora.safetensors"
        plan = Plan(model=FLUX, models={"checkpoints": (FLUX,), "loras": (lora,)}, outputs=1)
        request = resolved(model=FLUX, plan=plan)
        made = (await store.acceptance.accept(request)).generation
        await first.has_taken(made)


async def test_who_starts_what_does_not_change_when_it_is_asked_again(store: Store) -> None:
    """By their figures: the busy one renders each for 10 s, and a load takes 15."""
    mine, others = uuid4(), uuid4()
    now = datetime.now(UTC)
    for name, lease, model in (("mine", mine, SDXL), ("other", others, FLUX)):
        await store.leases.take(worker_lease(name), lease, LONG_S)
        record = WorkerRecord(name, f"http://{name}:8188", True, None, now, now, lease)
        await store.registry.record_worker(
            replace(record, last_model=model, seconds_per_cost=10.0, slots=2)
        )
    made = [await wanting(store, FLUX, seed) for seed in range(4)]
    pages: list[Sequence[Queued]] = []

    def note(page: Sequence[Queued]) -> None:
        pages.append(page)

    holder = Holder("mine", mine, "http://mine:8188")
    assert await store.queue.take(holder, note, ["interactive"]) is None
    choosing = routing.Routing(FleetWatch(store), mine, 15.0, lambda _: None)
    look = await choosing.look(SDXL)

    assert look is not None
    for _ in range(2):
        found = [one.generation_id for one in look.mine(pages[0])]
        assert found == [one.id for one in made[2:]]
    assert look.left == {one.id for one in made[:2]}
    assert choosing.looked(look)


# --- what is known of the fleet


async def test_the_fleet_says_why_nobody_can_do_it(store: Store, tmp_path: Path) -> None:
    made = await wanting(store, FLUX)
    needs = (await store.queue.needs([made.id]))[made.id]
    watch = FleetWatch(store)
    assert (await watch.look()).why_nobody(needs) is None  # nobody is there
    async with a_worker(store, tmp_path, "a", SDXL):
        assert (await watch.look()).why_nobody(needs) == f"no worker has {FLUX}"
        async with a_worker(store, tmp_path, "b", FLUX) as second:
            assert (await watch.look()).why_nobody(needs) is None
            await status_is(store, made, "succeeded")
            await second.says()
        fleet = await watch.look()
        assert fleet.why_nobody(needs) == f"no worker has {FLUX}; b, which has all of it, is away"
        assert [(one.record.name, one.lives) for one in fleet.members] == [
            ("a", True),
            ("b", False),
        ]


async def test_how_fast_a_worker_is_comes_from_what_it_did(store: Store, tmp_path: Path) -> None:
    measure: Callable[[str], Any] = store.generations.seconds_per_cost_of
    async with a_worker(store, tmp_path, "a", SDXL):
        assert await measure("a") is None
        await status_is(store, await wanting(store, SDXL), "succeeded")
    rate = await measure("a")
    assert rate is not None
    assert rate > 0
    assert await measure("b") is None
