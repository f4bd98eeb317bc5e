"""Pictures are fetched as soon as ComfyUI has them, and kept only if its history names them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from comfy import ComfySession, FetchedFile, FetchedImage, OutputFile
from comfy.emulator import Emulator
from comfy.events import OutputReady
from flows import arrivals as module
from flows import pipeline, submitting
from flows.arrivals import Arrivals
from flows.attempts.attempt import Kept
from flows.runtime import Runtime
from store.store import Store
from store.values import Claim
from tests.comfy.data import resolved

RUN = UUID(int=1)
PICTURES = 2


@pytest.fixture
async def held(runtime: Runtime, store: Store) -> Claim:
    accepted = await store.acceptance.accept(resolved(batch_size=PICTURES, steps=4))
    return await store.transitions.claim(
        accepted.generation.id, flow_run_id=RUN, attempt=1, holder=runtime.holder
    )


class Watched(ComfySession):
    """Counts what was fetched, by name."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_s=10, settle_s=0.1)
        self.fetched: Counter[str] = Counter()
        self.all_fetched = asyncio.Event()

    @asynccontextmanager
    async def open(
        self, file: OutputFile, pixels: int = 0
    ) -> AsyncIterator[FetchedImage | FetchedFile]:
        async with super().open(file, pixels) as fetched:
            self.fetched[file.filename] += 1
            if len(self.fetched) == PICTURES:
                self.all_fetched.set()
            yield fetched


@pytest.fixture
async def session(runtime: Runtime, emulator: Emulator) -> AsyncIterator[Watched]:
    async with Watched(emulator.url) as session:
        yield session


async def rendered(runtime: Runtime, claim: Claim) -> tuple[OutputFile, ...]:
    store, session = runtime.store, runtime.session
    graph = await pipeline.build(store, claim)
    await submitting.submit(store, session, claim, graph)
    outputs = await pipeline.track(store, session, claim, graph)
    return tuple(one for one in outputs if isinstance(one, OutputFile))


async def test_they_are_fetched_before_the_history_is_there_and_only_then(
    runtime: Runtime, emulator: Emulator, session: Watched, held: Claim
) -> None:
    emulator.faults.answer("GET", f"/history/{held.prompt_id}", status=503, times=10_000)
    attempts = type(runtime.attempts)(runtime.store, session, "http://easel.test")
    attempt = attempts.begin(held, RUN)
    async with asyncio.timeout(30):
        await session.all_fetched.wait()
    assert not attempt.is_over
    emulator.faults.clear()
    outcome = await attempt.outcome()
    assert isinstance(outcome, Kept)
    assert [kept.position for kept in outcome.artefacts] == [0, 1]
    assert set(session.fetched.values()) == {1}


async def test_what_the_history_does_not_name_is_not_kept(runtime: Runtime, held: Claim) -> None:
    outputs = await rendered(runtime, held)
    arrivals = Arrivals(runtime.session, held)
    for output in outputs:
        arrivals.on_event(OutputReady(output))
    kept = await pipeline.save(runtime.store, runtime.session, held, outputs[1:], arrivals=arrivals)
    assert len(kept) == 1
    early = await arrivals.of(outputs[1])
    assert early is not None
    assert (kept[0].position, kept[0].bytes >= len(early.data)) == (0, True)
    stored = [file async for file in runtime.store.files.stored()]
    assert sorted(file.path for file in stored) == sorted(kept[0].paths)


async def test_one_that_could_not_be_fetched_early_is_fetched_at_the_end(
    runtime: Runtime, emulator: Emulator, session: Watched, held: Claim
) -> None:
    outputs = await rendered(runtime, held)
    arrivals = Arrivals(session, held)
    emulator.faults.answer("GET", "/view", status=500, times=PICTURES)
    for output in outputs:
        arrivals.on_event(OutputReady(output))
    assert [await arrivals.of(output) for output in outputs] == [None, None]
    kept = await pipeline.save(runtime.store, session, held, outputs, arrivals=arrivals)
    assert len(kept) == PICTURES


async def test_a_picture_is_announced_before_it_is_fetched(
    runtime: Runtime, session: Watched, held: Claim
) -> None:
    (output, _) = await rendered(runtime, held)
    arrivals = Arrivals(session, held)
    announced = asyncio.Event()

    async def first() -> None:
        await announced.wait()

    arrivals.on_event(OutputReady(output), first)
    arriving = asyncio.create_task(arrivals.of(output))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not session.fetched
    announced.set()
    assert await arriving is not None


async def test_what_is_held_is_bounded(
    runtime: Runtime, session: Watched, held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_MAX", 1)
    outputs = await rendered(runtime, held)
    arrivals = Arrivals(session, held)
    arrivals.on_event(OutputReady(outputs[0]))
    assert await arrivals.of(outputs[0]) is not None
    arrivals.on_event(OutputReady(outputs[1]))
    assert await arrivals.of(outputs[1]) is None
    assert session.fetched.keys() == {outputs[0].filename}


async def test_what_a_lost_round_left_is_dropped(runtime: Runtime, held: Claim) -> None:
    (output, _) = await rendered(runtime, held)
    arrivals = Arrivals(runtime.session, held)
    arrivals.on_event(OutputReady(output))
    assert await arrivals.of(output) is not None
    await arrivals.clear()
    assert await arrivals.of(output) is None


async def test_what_is_no_picture_is_left_for_the_end(runtime: Runtime, held: Claim) -> None:
    (output, _) = await rendered(runtime, held)
    arrivals = Arrivals(runtime.session, held)
    film = OutputFile(output.filename.replace("png", "mp4"), output.subfolder, "output")
    arrivals.on_event(OutputReady(film))
    assert await arrivals.of(film) is None
