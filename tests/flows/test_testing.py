"""The in-process worker: it brings rows where a worker would, and stands still when it is told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from comfy.errors import OutOfMemoryComfyError
from core.batches.request import BatchOptions
from core.requests import ResolvedRequest
from core.status import Status
from flows.testing import InProcessWorker, PlainPainter, ScriptedComfyUI
from store.errors import FencedError
from store.store import Store
from store.values import Generation, NewItem, Waiting
from tests.comfy.data import resolved
from tests.harness.processes import REPOSITORY, environment

OUT_OF_MEMORY = OutOfMemoryComfyError("5", "KSampler", "CUDA out of memory", "OutOfMemoryError")


class NotingPainter(PlainPainter):
    """Notes how far the previews were that it made."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def preview(self, request: ResolvedRequest, done: float) -> bytes:
        self.shares.append(done)
        return super().preview(request, done)


@pytest.fixture
def worker(store: Store) -> InProcessWorker:
    worker = InProcessWorker(store)
    worker.comfy.step_s = 0.001
    return worker


@pytest.fixture
async def at_work(worker: InProcessWorker) -> AsyncIterator[InProcessWorker]:
    async with worker.at_work():
        yield worker


async def accepted(store: Store, count: int = 1) -> list[UUID]:
    made = [await store.acceptance.accept(resolved(steps=4, batch_size=2)) for _ in range(count)]
    return [one.generation.id for one in made]


async def until(store: Store, generation_id: UUID, status: Status, step: int = 0) -> Generation:
    async with asyncio.timeout(30):
        while True:
            now = await store.generations.get(generation_id)
            done = now.progress.step if now.progress is not None else None
            if now.status == status and (done or 0) >= step:
                return now
            await asyncio.sleep(0.01)


async def batch_of(store: Store, count: int, *, max_in_flight: int) -> UUID:
    batch_id, transitions = uuid.uuid4(), store.batch_transitions
    await transitions.begin(batch_id, "foxes", BatchOptions(max_in_flight=max_in_flight), 7)
    items = [
        NewItem(place, place, place + 1, resolved(steps=4, priority="bulk"))
        for place in range(count)
    ]
    await transitions.add(batch_id, items)
    await transitions.accept(batch_id, count, 1)
    return batch_id


def test_it_needs_no_prefect() -> None:
    code = "import sys, flows.testing; sys.exit('prefect' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment(), check=False
    )
    assert run.returncode == 0


def test_no_part_of_easel_uses_it() -> None:
    rooms = ("core", "comfy", "store", "webhooks", "flows", "api", "web", "cli")
    sources = {path for room in rooms for path in (REPOSITORY / room).rglob("*.py")}
    sources -= {*(REPOSITORY / "flows" / "testing").glob("*.py")}
    using = [path for path in sources if "flows.testing" in path.read_text(encoding="utf-8")]
    assert using == []


async def test_a_state_is_held_until_the_test_goes_on(
    store: Store, worker: InProcessWorker
) -> None:
    [generation_id] = await accepted(store)
    claim = await worker.start(generation_id)
    waiting = Waiting("waiting_for_comfyui", "It is away.")
    assert await worker.progress(claim, 50, waiting=waiting) == "running"
    now = await store.generations.get(generation_id)
    assert now.progress is not None
    assert (now.status, now.progress.percent, now.progress.step) == ("running", 50, 2)
    assert now.waiting == waiting
    images = await worker.succeed(claim)
    assert (await store.generations.get(generation_id)).status == "succeeded"
    assert [image.position for image in images] == [0, 1]
    for image in images:
        assert len(await store.files.read(image.path)) == image.bytes


async def test_it_paints_no_step_beyond_the_last(store: Store) -> None:
    """Even when the test goes on while the last step is held."""
    painter = NotingPainter()
    worker = InProcessWorker(store, ScriptedComfyUI(painter))
    worker.comfy.step_s, worker.comfy.limit = 0, 4
    [generation_id] = await accepted(store)
    async with worker.at_work():
        await until(store, generation_id, "running", step=4)
        worker.go_on()
        await until(store, generation_id, "succeeded")
    assert painter.shares == [0.25, 0.5, 0.75, 1.0]


async def test_a_failure_is_told_as_comfyuis_error_is(
    store: Store, worker: InProcessWorker
) -> None:
    [generation_id] = await accepted(store)
    problem = await worker.fail(await worker.start(generation_id), OUT_OF_MEMORY)
    assert (problem.code, problem.node_class) == ("out_of_memory", "KSampler")
    assert (await store.generations.get(generation_id)).error == problem


async def test_what_was_lost_is_another_workers(store: Store, worker: InProcessWorker) -> None:
    [generation_id] = await accepted(store)
    lost = await worker.start(generation_id)
    await worker.lose(lost)
    assert await worker.is_fenced_out(lost)
    with pytest.raises(FencedError):
        await worker.fail(lost)
    await InProcessWorker(store, name="another").finish(generation_id)
    (attempt,) = await store.generations.attempts(generation_id)
    assert (attempt.worker, attempt.outcome) == ("another", "succeeded")


async def test_a_cancel_is_obeyed(store: Store, worker: InProcessWorker) -> None:
    [generation_id] = await accepted(store)
    claim = await worker.start(generation_id)
    await store.transitions.request_cancel(generation_id)
    assert await worker.progress(claim, 50) == "cancelling"
    await worker.cancel(claim)
    assert (await store.generations.get(generation_id)).status == "cancelled"


async def test_at_work_it_carries_out_what_is_queued_in_turn(
    store: Store, at_work: InProcessWorker
) -> None:
    ids = await accepted(store, 3)
    ended = [await until(store, generation_id, "succeeded") for generation_id in ids]
    moments = [generation.finished_at for generation in ended]
    assert moments == sorted(moments, key=str)
    assert all(generation.flow_run_id is not None for generation in ended)
    [record] = await store.registry.workers()
    assert record.name == at_work.holder.worker


async def test_held_it_goes_as_far_as_it_may_and_says_so(
    store: Store, at_work: InProcessWorker
) -> None:
    await at_work.hold(step=2)
    first, second = await accepted(store, 2)
    await until(store, first, "running", step=2)
    await at_work.hold()
    now = await store.generations.get(first)
    assert now.progress is not None
    assert (now.progress.step, now.progress.preview) == (2, 2)
    assert (await store.generations.get(second)).status == "queued"
    at_work.go_on()
    await until(store, second, "succeeded")


async def test_held_it_hears_of_a_cancel(store: Store, at_work: InProcessWorker) -> None:
    await at_work.hold(step=1)
    [generation_id] = await accepted(store)
    await until(store, generation_id, "running", step=1)
    await store.transitions.request_cancel(generation_id)
    await until(store, generation_id, "cancelled")


async def test_what_is_made_aside_is_not_held(store: Store, at_work: InProcessWorker) -> None:
    await at_work.hold()
    made = await at_work.make(resolved())
    assert (await store.generations.get(made)).status == "succeeded"


async def test_a_script_fails_what_it_says(store: Store, at_work: InProcessWorker) -> None:
    at_work.comfy.failure = lambda _request: OUT_OF_MEMORY
    [generation_id] = await accepted(store)
    failed = await until(store, generation_id, "failed")
    assert failed.error is not None
    assert failed.error.code == "out_of_memory"


async def test_a_batch_by_hand(store: Store, worker: InProcessWorker) -> None:
    batch_id = await batch_of(store, 3, max_in_flight=2)
    first, second = await worker.begin_batch(batch_id, 2)
    await worker.finish(first)
    await worker.fail(await worker.start(second))
    with pytest.raises(ValueError, match="1 items"):
        await worker.release(batch_id, 2)
    await worker.end_batch(batch_id, "failed")
    with pytest.raises(ValueError, match="had ended"):
        await worker.end_batch(batch_id, "succeeded")
    assert (await store.batches.get(batch_id)).status == "failed"


async def test_at_work_it_steers_a_batch_to_its_end(store: Store, at_work: InProcessWorker) -> None:
    batch_id = await batch_of(store, 5, max_in_flight=2)
    async with asyncio.timeout(30):
        while (await store.batches.get(batch_id)).status != "succeeded":
            assert (await store.batches.counts(await store.batches.get(batch_id))).active <= 2
            await asyncio.sleep(0.01)
    assert at_work.comfy.may_move(0)
