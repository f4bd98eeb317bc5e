"""The reporter writes what is new, little of it, and hears when the work should stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from comfy.events import ComfyAway, ComfyBack, OutputReady, Preview, Progress, Queued, Started
from comfy.messages import OutputFile
from core.ids import OUTPUT_SUBFOLDER, output_filename
from flows.errors import CancelRequested
from flows.reporter import RENDERED_MAX, Reporter
from store.errors import FencedError
from store.store import Store
from store.values import Claim, Generation, Holder, RenderedOutput


def progress(percent: float) -> Progress:
    return Progress(percent, int(percent), 100, "5", "KSampler", 3, 7)


async def eventually(
    store: Store, claim: Claim, condition: Callable[[Generation], bool | Awaitable[bool]]
) -> Generation:
    async with asyncio.timeout(10):
        while True:
            generation = await store.generations.get(claim.generation_id)
            answer = condition(generation)
            if answer if isinstance(answer, bool) else await answer:
                return generation
            await asyncio.sleep(0.005)


def percent_of(generation: Generation) -> float | None:
    return generation.progress.percent if generation.progress else None


async def test_progress_that_comes_together_with_the_start_is_not_lost(
    store: Store, claim: Claim
) -> None:
    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(Started())
        reporter.on_event(progress(12.5))
        generation = await eventually(store, claim, lambda g: percent_of(g) == 12.5)
    assert generation.status == "running"
    assert generation.started_at is not None
    assert generation.progress is not None
    assert (generation.progress.step, generation.progress.node) == (12, "KSampler")


async def test_a_render_that_begins_is_shown_before_it_says_how_far_it_is(
    store: Store, claim: Claim
) -> None:
    shown: list[float] = []
    async with Reporter(store.transitions, claim, shown.append) as reporter:
        reporter.on_event(Started())
        await eventually(store, claim, lambda g: g.status == "running")
    assert shown
    assert set(shown) == {0.0}


async def test_a_flood_of_progress_becomes_few_writes(store: Store, claim: Claim) -> None:
    before = await store.generations.get(claim.generation_id)
    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(Started())
        for percent in range(1, 100):
            reporter.on_event(progress(percent))
            if percent % 25 == 0:
                await asyncio.sleep(0)
        after = await eventually(store, claim, lambda g: percent_of(g) == 99)
    assert after.sequence - before.sequence <= 4


async def test_a_preview_that_comes_too_soon_is_shown_without_further_news(
    store: Store, claim: Claim
) -> None:
    async def shown(generation: Generation, data: bytes) -> bool:
        if generation.progress is None or generation.progress.preview is None:
            return False
        return (await store.generations.preview(generation.id)).data == data

    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(Started())
        reporter.on_event(progress(1))
        reporter.on_event(Preview(b"first", "image/jpeg"))
        await eventually(store, claim, lambda g: shown(g, b"first"))
        reporter.on_event(Preview(b"second", "image/jpeg"))
        await eventually(store, claim, lambda g: shown(g, b"second"))


async def test_it_says_that_comfyui_is_away_and_that_it_is_back(store: Store, claim: Claim) -> None:
    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(ComfyAway("connection refused"))
        away = await eventually(store, claim, lambda g: g.waiting is not None)
        assert away.waiting is not None
        assert away.waiting.code == "waiting_for_comfyui"
        assert away.waiting.detail == (
            f"ComfyUI at {claim.comfy_url.removeprefix('http://')} isn't answering (connection "
            "refused). Your queue is safe; it continues when ComfyUI is back."
        )
        reporter.on_event(ComfyBack())
        await eventually(store, claim, lambda g: g.waiting is None)


async def test_it_says_that_prompts_of_others_come_first(store: Store, claim: Claim) -> None:
    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(Queued(3, strangers=2))
        behind = await eventually(store, claim, lambda g: g.waiting is not None)
        assert behind.waiting is not None
        assert behind.waiting.code == "comfyui_busy"
        assert behind.waiting.detail.startswith("2 prompts ")
        reporter.on_event(Queued(1))
        await eventually(store, claim, lambda g: g.waiting is None)


async def test_a_cancel_is_heard_without_any_news(store: Store, claim: Claim) -> None:
    async with Reporter(store.transitions, claim, None) as reporter:
        await store.transitions.request_cancel(claim.generation_id)
        async with asyncio.timeout(10):
            await reporter.stopped.wait()
    assert isinstance(reporter.reason, CancelRequested)


async def test_a_cancel_is_heard_while_news_come(store: Store, claim: Claim) -> None:
    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(Started())
        await eventually(store, claim, lambda g: g.status == "running")
        await store.transitions.request_cancel(claim.generation_id)
        reporter.on_event(progress(50))
        async with asyncio.timeout(10):
            await reporter.stopped.wait()
    assert isinstance(reporter.reason, CancelRequested)


async def test_it_stops_when_another_worker_has_taken_the_attempt(
    store: Store, claim: Claim
) -> None:
    async with Reporter(store.transitions, claim, None) as reporter:
        now = await store.generations.get(claim.generation_id)
        assert now.flow_run_id is not None
        await store.flow_runs.let_go(now.id, now.flow_run_id, now.fence)
        await store.transitions.claim(
            claim.generation_id,
            flow_run_id=uuid4(),
            attempt=1,
            holder=Holder("another", uuid4(), "http://comfy"),
        )
        reporter.on_event(progress(50))
        async with asyncio.timeout(10):
            await reporter.stopped.wait()
    assert isinstance(reporter.reason, FencedError)
    assert percent_of(await store.generations.get(claim.generation_id)) is None


async def test_it_stops_when_the_generation_is_deleted(store: Store, claim: Claim) -> None:
    async with Reporter(store.transitions, claim, None) as reporter:
        await store.transitions.delete(claim.generation_id)
        async with asyncio.timeout(10):
            await reporter.stopped.wait()
    assert isinstance(reporter.reason, FencedError)


def names_of(generation: Generation) -> list[str]:
    return [one.filename for one in generation.progress.rendered] if generation.progress else []


def finished(claim: Claim, number: int, ending: str = "_.png", **more: str) -> OutputReady:
    name = more.get("name") or output_filename(claim.prompt_id, number, ending)
    folder, kind = more.get("folder", OUTPUT_SUBFOLDER), more.get("type", "output")
    return OutputReady(OutputFile(name, folder, kind))


async def test_who_waits_for_the_announcement_finds_it_written(
    store: Store, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.reporter.ANNOUNCED_WITHIN_S", 60)
    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(Started())
        for number in (1, 2):
            reporter.on_event(finished(claim, number))
            await reporter.announced()
            assert len(names_of(await store.generations.get(claim.generation_id))) == number
        reporter.on_event(finished(claim, 3, type="temp"))
        await reporter.announced()  # there is nothing to wait for: it will not be


async def test_finished_outputs_are_announced_in_their_order(store: Store, claim: Claim) -> None:
    film = finished(claim, 1, ".mp4")
    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(Started())
        reporter.on_event(film)
        await eventually(store, claim, lambda g: len(names_of(g)) == 1)
        reporter.on_event(finished(claim, 2))
        generation = await eventually(store, claim, lambda g: len(names_of(g)) == 2)
    assert generation.progress is not None
    assert generation.progress.rendered == (
        RenderedOutput("video", film.file.filename, claim.comfy_url),
        RenderedOutput("image", output_filename(claim.prompt_id, 2), claim.comfy_url),
    )


async def test_an_output_is_announced_though_tracking_ends_at_once(
    store: Store, claim: Claim
) -> None:
    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(Started())
        reporter.on_event(progress(100))
        reporter.on_event(finished(claim, 1))
    generation = await store.generations.get(claim.generation_id)
    assert names_of(generation) == [output_filename(claim.prompt_id, 1)]
    assert percent_of(generation) == 100


async def test_what_would_not_be_kept_is_not_announced(store: Store, claim: Claim) -> None:
    other = output_filename(str(uuid4()), 1)
    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(Started())
        for event in (
            finished(claim, 1, type="temp"),
            finished(claim, 1, folder=""),
            finished(claim, 1, name=other),
            finished(claim, 1, name=f"{claim.prompt_id}_/../../secret.png"),
            finished(claim, 2),
        ):
            reporter.on_event(event)
        generation = await eventually(store, claim, lambda g: bool(names_of(g)))
    assert names_of(generation) == [output_filename(claim.prompt_id, 2)]


async def test_a_huge_number_of_outputs_does_not_fill_the_row(store: Store, claim: Claim) -> None:
    async with Reporter(store.transitions, claim, None) as reporter:
        reporter.on_event(Started())
        for number in range(RENDERED_MAX + 5):
            reporter.on_event(finished(claim, number))
    assert len(names_of(await store.generations.get(claim.generation_id))) == RENDERED_MAX
