"""The pipeline as plain functions: one coroutine carries a generation to its pictures."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from PIL import Image as Pillow

from comfy import (
    ComfySession,
    FetchedFile,
    FetchedImage,
    OutOfMemoryComfyError,
    OutputFile,
    PromptLostError,
    UnusableFileError,
    WorkflowRejectedError,
)
from comfy.emulator import Emulator
from comfy.errors import ExecutionTimeoutError
from core.callbacks.callback import Callback
from core.instant import LONG_AGO, Instant
from core.requests import FlowRequest
from flows import arrivals, pipeline, submitting
from flows.adoption import adopt
from flows.errors import CallbackRefusedError, CancelRequested
from flows.pipeline import Assignment, Ended
from flows.reporter import OnProgress
from flows.runtime import Runtime
from store.errors import FencedError, HeldError, NotFoundError
from store.store import Store
from store.values import Artefact, Claim, Holder
from tests.comfy.data import resolved
from tests.harness.processes import REPOSITORY, environment
from tests.harness.statements import statements_of

RUN = UUID(int=1)
JUST_NOW = Instant(float("inf"), float("inf"))
ANOTHER = Holder("another one", UUID(int=2), "http://comfy")


@pytest.fixture
async def generation_id(store: Store) -> UUID:
    accepted = await store.acceptance.accept(resolved(batch_size=2, steps=20))
    return accepted.generation.id


@pytest.fixture
async def held(runtime: Runtime, generation_id: UUID) -> Claim:
    return await pipeline.claim(
        runtime.store, Assignment(generation_id, RUN, attempt=1), runtime.holder
    )


async def carried_out(
    runtime: Runtime, claim: Claim, on_progress: OnProgress | None = None
) -> tuple[Artefact, ...]:
    store, session, workflow = (
        runtime.store,
        runtime.session,
        await pipeline.build(runtime.store, claim),
    )
    outputs = await pipeline.render(
        session,
        claim,
        partial(submitting.submit, store, session, claim, workflow),
        partial(pipeline.track, store, session, claim, workflow, on_progress),
    )
    return await pipeline.save(store, session, claim, outputs)


async def posted(emulator: Emulator, claim: Claim) -> None:
    async with asyncio.timeout(20):
        while claim.prompt_id not in emulator.posts:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)


async def is_queued(runtime: Runtime, claim: Claim) -> bool:
    return (await runtime.session.client.queue()).find(claim.prompt_id) is not None


async def taken_over(runtime: Runtime, claim: Claim) -> None:
    """Another worker has the attempt by now."""
    assert await runtime.store.flow_runs.let_go(claim.generation_id, RUN, claim.fence)
    await pipeline.claim(runtime.store, Assignment(claim.generation_id, RUN, attempt=1), ANOTHER)


async def test_a_release_does_not_wait_for_a_comfyui_that_stands_still(
    runtime: Runtime, emulator: Emulator, held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "RELEASE_S", 0.2)
    emulator.faults.zombie()
    store, session = runtime.store, runtime.session
    await submitting.submit(store, session, held, await pipeline.build(store, held))
    async with asyncio.timeout(20):
        while not (await session.client.queue()).is_running(held.prompt_id):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
    await store.transitions.request_cancel(held.generation_id)

    await pipeline.release(store, session, held)

    assert (await store.generations.get(held.generation_id)).status == "cancelled"
    [stray] = await store.strays.of(emulator.url)  # removed when ComfyUI moves again
    assert stray.prompt_id == held.prompt_id


def test_it_knows_nothing_of_prefect() -> None:
    code = "import sys, flows.attempts.attempts; sys.exit('prefect' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment(), check=False
    )
    assert run.returncode == 0


async def adopted(runtime: Runtime, run: UUID, **fields: Any) -> UUID:
    request = FlowRequest.model_validate({"prompt": "a fox", **fields})
    return await adopt(runtime.store, runtime.session.client, request, None, run)


async def test_a_run_from_prefect_keeps_the_callback_that_it_names(runtime: Runtime) -> None:
    await runtime.store.callbacks.add("shop", "https://shop.example/")
    made = await adopted(runtime, RUN, callback="shop", callback_events=["generation.failed"])

    kept = await runtime.store.generations.get(made)
    assert kept.callback == Callback(name="shop", events=("generation.failed",))
    without = await adopted(runtime, UUID(int=3))
    assert (await runtime.store.generations.get(without)).callback is None


async def test_a_callback_that_is_not_stored_makes_no_generation(runtime: Runtime) -> None:
    await runtime.store.callbacks.add("shop", "https://shop.example/")
    with pytest.raises(CallbackRefusedError) as refused:
        await adopted(runtime, RUN, callback="shpo")

    assert str(refused.value).startswith("callback: no callback of this name is stored")
    assert "easel webhooks add" in str(refused.value)
    assert "near matches: shop" in str(refused.value)
    with pytest.raises(NotFoundError):
        await runtime.store.generations.get(RUN)


async def test_a_run_that_is_taken_again_does_not_depend_on_the_name(runtime: Runtime) -> None:
    await runtime.store.callbacks.add("shop", "https://shop.example/")
    made = await adopted(runtime, RUN, callback="shop")
    await runtime.store.callbacks.remove("shop")

    assert await adopted(runtime, RUN, callback="shop") == made


async def test_the_steps_carry_a_generation_to_its_pictures(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    told: list[float] = []
    images = await carried_out(runtime, held, told.append)
    generation = await runtime.store.generations.get(held.generation_id)
    assert generation.status == "succeeded"
    assert generation.started_at is not None
    assert tuple(await runtime.store.generations.artefacts(held.generation_id)) == images
    assert [image.position for image in images] == [0, 1]
    assert told == sorted(told)
    assert emulator.posts == {held.prompt_id: 1}


@pytest.mark.usefixtures("held")
async def test_what_another_worker_holds_is_not_claimed(
    runtime: Runtime, generation_id: UUID
) -> None:
    with pytest.raises(HeldError):
        await pipeline.claim(runtime.store, Assignment(generation_id, RUN, attempt=1), ANOTHER)


async def test_memory_that_ran_out_is_freed_once(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.out_of_memory()
    assert len(await carried_out(runtime, held)) == 2
    assert emulator.posts == {held.prompt_id: 2}


async def test_memory_that_runs_out_again_is_the_end(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.out_of_memory(times=2)
    with pytest.raises(OutOfMemoryComfyError) as raised:
        await carried_out(runtime, held)
    ended = await pipeline.end(runtime.store, runtime.session, held, raised.value)
    generation = await runtime.store.generations.get(held.generation_id)
    assert generation.error is not None
    assert (generation.status, generation.error.code) == ("failed", "out_of_memory")
    assert ended == Ended("failed", generation.error.detail)


async def test_a_prompt_that_comfyui_lost_is_submitted_again(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    making = asyncio.create_task(carried_out(runtime, held))
    await posted(emulator, held)
    await emulator.restart()
    emulator.faults.clear()
    assert len(await making) == 2
    assert emulator.posts == {held.prompt_id: 2}


LOST = PromptLostError("ComfyUI does not know prompt 7 any more")
OUT_OF_MEMORY = OutOfMemoryComfyError("5", "KSampler", "CUDA out of memory", "OutOfMemoryError")


@pytest.mark.parametrize(
    ("failures", "ends"),
    [
        ([LOST, LOST, LOST], None),
        ([LOST, LOST, LOST, LOST], LOST),
        ([LOST, LOST, LOST, OUT_OF_MEMORY], None),
        ([OUT_OF_MEMORY, LOST, LOST, LOST], None),
        ([LOST, LOST, LOST, OUT_OF_MEMORY, OUT_OF_MEMORY], OUT_OF_MEMORY),
        ([OUT_OF_MEMORY, LOST, LOST, LOST, LOST], LOST),
    ],
)
async def test_restarts_and_memory_are_counted_apart(
    runtime: Runtime, held: Claim, failures: list[Exception], ends: Exception | None
) -> None:
    """And what ends the attempt is the last error, with its words."""
    left = list(failures)

    async def submit() -> None:
        pass

    async def track() -> tuple[OutputFile, ...]:
        if left:
            raise left.pop(0)
        return ()

    if ends is None:
        assert await pipeline.render(runtime.session, held, submit, track) == ()
    else:
        with pytest.raises(type(ends)) as raised:
            await pipeline.render(runtime.session, held, submit, track)
        assert raised.value is ends
    assert left == []


async def test_a_cancel_ends_the_track_and_takes_the_prompt_out(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    making = asyncio.create_task(carried_out(runtime, held))
    await posted(emulator, held)
    await runtime.store.transitions.request_cancel(held.generation_id)
    with pytest.raises(CancelRequested) as raised:
        await making
    ended = await pipeline.end(runtime.store, runtime.session, held, raised.value)
    assert ended.how == "cancelled"
    assert (await runtime.store.generations.get(held.generation_id)).status == "cancelled"
    assert not await is_queued(runtime, held)


async def test_a_cancel_leaves_the_prompt_of_another_worker_alone(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    await submitting.submit(
        runtime.store, runtime.session, held, await pipeline.build(runtime.store, held)
    )
    await taken_over(runtime, held)
    await pipeline.cancel(runtime.store, runtime.session, held)
    assert (await runtime.store.generations.get(held.generation_id)).status == "queued"
    assert await is_queued(runtime, held)


async def test_nothing_is_posted_once_another_worker_has_the_attempt(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    """It slept since it was claimed, and the intent was written with the claim."""
    await taken_over(runtime, held)
    slept = replace(held, taken=LONG_AGO, submitted_at=datetime.now(UTC))
    with pytest.raises(FencedError) as raised:
        await submitting.submit(
            runtime.store, runtime.session, slept, await pipeline.build(runtime.store, held)
        )
    standing = await pipeline.leave(runtime.store, runtime.session, held, RUN)
    assert (standing.prompt_wanted, standing.run_wanted) == (True, True)
    ended = await pipeline.end(runtime.store, runtime.session, held, raised.value, RUN)
    assert ended == Ended("taken_over", str(raised.value))
    assert emulator.posts == {}


async def test_what_was_claimed_just_now_is_posted_without_a_look(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    graph = await pipeline.build(runtime.store, held)
    fresh = replace(held, taken=JUST_NOW, submitted_at=datetime.now(UTC))
    with statements_of(runtime.store.database) as statements:
        await submitting.submit(runtime.store, runtime.session, fresh, graph, fresh=True)
    assert statements == []
    assert emulator.posts == {held.prompt_id: 1}


async def test_a_save_that_is_fenced_out_keeps_the_files_that_are_wanted(
    runtime: Runtime, held: Claim
) -> None:
    store, session, workflow = (
        runtime.store,
        runtime.session,
        await pipeline.build(runtime.store, held),
    )
    await submitting.submit(store, session, held, workflow)
    outputs = await pipeline.track(store, session, held, workflow)
    await taken_over(runtime, held)
    with pytest.raises(FencedError):
        await pipeline.save(store, session, held, outputs)
    assert len(await files_of(store, held)) == 4  # two pictures with their thumbnails


async def test_a_save_of_what_is_not_wanted_any_more_leaves_no_files(
    runtime: Runtime, held: Claim
) -> None:
    store, session, workflow = (
        runtime.store,
        runtime.session,
        await pipeline.build(runtime.store, held),
    )
    await submitting.submit(store, session, held, workflow)
    outputs = await pipeline.track(store, session, held, workflow)
    await store.transitions.request_cancel(held.generation_id)
    await store.transitions.cancelled(held)
    with pytest.raises(FencedError) as raised:
        await pipeline.save(store, session, held, outputs)
    assert await files_of(store, held) == []
    ended = await pipeline.end(store, session, held, raised.value, RUN)
    assert ended == Ended("given_up", f"Given up: {raised.value}")


async def files_of(store: Store, claim: Claim) -> list[str]:
    stored = store.files.stored()
    return [file.path async for file in stored if file.generation_id == claim.generation_id]


async def test_a_prompt_that_took_too_long_is_stopped(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    emulator.faults.hang()
    await submitting.submit(
        runtime.store, runtime.session, held, await pipeline.build(runtime.store, held)
    )
    problem = await pipeline.fail(
        runtime.store, runtime.session, held, ExecutionTimeoutError("It took too long.")
    )
    assert problem.code == "timed_out"
    assert (await runtime.store.generations.get(held.generation_id)).error == problem
    assert not await is_queued(runtime, held)


async def test_a_success_keeps_the_count_of_its_nodes(runtime: Runtime, held: Claim) -> None:
    await carried_out(runtime, held)
    progress = (await runtime.store.generations.get(held.generation_id)).progress
    assert progress is not None
    assert (progress.percent, progress.nodes_done, progress.nodes_total) == (100, 7, 7)


class OneAtATime(ComfySession):
    """Notes how many pictures are on their way at the same time."""

    most = now = 0

    @asynccontextmanager
    async def open(
        self, file: OutputFile, pixels: int = 0
    ) -> AsyncIterator[FetchedImage | FetchedFile]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            async with super().open(file, pixels) as fetched:
                yield fetched
        finally:
            self.now -= 1


@pytest.mark.parametrize(("pixels_at_once", "most"), [(64 * 64, 1), (64 * 64 * 2, 2)])
async def test_large_pictures_of_a_generation_are_fetched_one_after_the_other(
    runtime: Runtime,
    emulator: Emulator,
    held: Claim,
    monkeypatch: pytest.MonkeyPatch,
    pixels_at_once: int,
    most: int,
) -> None:
    monkeypatch.setattr(arrivals, "PIXELS_AT_ONCE", pixels_at_once)
    async with OneAtATime(emulator.url) as session:
        runtime.session = session
        assert len(await carried_out(runtime, held)) == 2
        assert session.most == most


async def test_a_picture_larger_than_asked_for_fails_at_once(
    runtime: Runtime, emulator: Emulator, held: Claim
) -> None:
    store, session, workflow = (
        runtime.store,
        runtime.session,
        await pipeline.build(runtime.store, held),
    )
    await submitting.submit(store, session, held, workflow)
    outputs = await pipeline.track(store, session, held, workflow)
    output = outputs[1]
    assert isinstance(output, OutputFile)
    path = emulator.output_dir / output.subfolder / output.filename
    Pillow.new("1", (4000, 4000)).save(path)
    with pytest.raises(UnusableFileError) as raised:
        await pipeline.save(store, session, held, outputs)
    ended = await pipeline.end(store, session, held, raised.value, RUN)
    assert "4000×4000" in ended.detail
    error = (await store.generations.get(held.generation_id)).error
    assert error is not None
    assert error.code == "unusable_file"


async def test_a_name_that_comfyui_refuses_makes_its_catalogue_read_again(
    runtime: Runtime, held: Claim
) -> None:
    store, session = runtime.store, runtime.session
    url = session.client.base_url
    model = {"model": "removed.safetensors"}
    await store.registry.keep_catalogue(url, {"checkpoints": ["removed.safetensors"]})
    claim = replace(held, request=held.request.changed(**model))
    with pytest.raises(WorkflowRejectedError) as raised:
        await submitting.submit(store, session, claim, await pipeline.build(store, claim))
    await pipeline.look_again(store, session.client, raised.value)
    known = await store.registry.catalogue(url)
    assert known is not None
    assert known["checkpoints"] == ["sd15.safetensors"]
