"""Cancelling our own prompt, surely, and never another."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from comfy import ComfySession, PromptInterruptedError
from comfy.emulator import Emulator, EmulatorOptions
from tests.contract.driving import LONG_STEPS, Driver, Recorder, SlowLine, wait_until

POSSIBLE = ("POST /api/jobs/{}/cancel", "POST /interrupt", "POST /queue")


async def test_a_running_prompt(driver: Driver) -> None:
    run = driver.run(steps=LONG_STEPS)
    await run.submit()
    track = run.start_tracking()
    await run.until_started()
    assert await driver.session.cancel(run.prompt_id)
    assert (await driver.session.client.queue()).find(run.prompt_id) is None
    with pytest.raises(PromptInterruptedError):
        await track


async def test_a_waiting_prompt_and_not_the_running_one(driver: Driver) -> None:
    running, waiting = driver.run(steps=60), driver.run()
    await running.submit()
    await waiting.submit()
    await running.until_running()
    assert await driver.session.cancel(waiting.prompt_id)
    assert await driver.session.client.history(waiting.prompt_id) is None
    assert len(await running.track()) == 1


async def test_an_ended_or_unknown_prompt_while_another_runs(driver: Driver) -> None:
    ended, unknown, running = driver.run(), driver.run(), driver.run(steps=60)
    images = await ended.finish()
    await running.submit()
    await running.until_running()
    assert await driver.session.cancel(ended.prompt_id)
    assert await driver.session.cancel(unknown.prompt_id)
    assert await ended.track() == images
    assert len(await running.track()) == 1


async def test_a_prompt_that_starts_while_it_is_cancelled(driver: Driver) -> None:
    # Many tries, since the moment is short.
    for _ in range(10):
        before, ours, after = driver.model_free_run(), driver.run(steps=30), driver.run()
        for run in (before, ours, after):
            await run.submit(fresh=True)
        assert await driver.session.cancel(ours.prompt_id)
        queue = await driver.session.client.queue()
        assert queue.find(ours.prompt_id) is None
        assert len(await before.track()) == 1
        assert len(await after.track()) == 1


async def test_a_node_that_cannot_be_interrupted(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.hang(step=2, interruptible=False)
    run = driver.run()
    await run.submit()
    track = run.start_tracking()
    await wait_until(lambda: emulator.faults.hanging)
    assert not await driver.session.cancel(run.prompt_id, patience_s=0.1)
    emulator.faults.release()
    assert await driver.session.cancel(run.prompt_id)
    with pytest.raises(PromptInterruptedError):
        await track


async def test_a_prompt_that_is_just_being_submitted(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.answer("POST", "/prompt", delay=0.1)
    run = driver.run(steps=LONG_STEPS)
    submission = asyncio.create_task(run.submit())
    await wait_until(lambda: emulator.faults.active() == [])  # it has the post, and waits
    assert await driver.session.cancel(run.prompt_id)
    assert await submission == "posted"
    assert (await driver.session.client.queue()).find(run.prompt_id) is None


async def test_a_prompt_whose_submission_was_given_up_midway(
    driver: Driver, emulator: Emulator
) -> None:
    run = driver.run(steps=LONG_STEPS)
    async with (
        SlowLine(emulator.port, delay_s=0.1) as line,
        ComfySession(line.url, settle_s=0.3) as session,
    ):
        submission = asyncio.create_task(session.submit(run.graph, run.prompt_id, fresh=True))
        await line.has_post.wait()
        submission.cancel()
        assert await session.cancel(run.prompt_id)
    assert emulator.posts[run.prompt_id] == 1  # ComfyUI got it after we had gone
    assert (await driver.session.client.queue()).find(run.prompt_id) is None


@pytest.mark.parametrize("version", ["0.3.45", "0.3.64", "0.24.0", "0.26.0", "0.33.0"])
async def test_a_running_and_a_waiting_prompt_of_each_version(tmp_path: Path, version: str) -> None:
    options = EmulatorOptions(step_time=0.005, output_dir=tmp_path, comfyui_version=version)
    async with Emulator(options) as emulator, ComfySession(emulator.url) as session:
        driver = await Driver.on(session)
        emulator.faults.hang()
        running, waiting, other = driver.run(), driver.run(), driver.run()
        for run in (running, waiting, other):
            await run.submit()
        await wait_until(lambda: emulator.faults.hanging)
        assert await session.cancel(waiting.prompt_id)
        assert await session.cancel(running.prompt_id)
        assert len(await other.track()) == 1
        assert [run["outcome"] for run in emulator.executions] == ["interrupted", "success"]


@pytest.mark.parametrize(
    ("version", "requests"),
    [
        ("0.24.0", {"POST /api/jobs/{}/cancel": 1, "POST /interrupt": 1}),
        ("0.26.0", {"POST /api/jobs/{}/cancel": 1}),
    ],
)
async def test_one_request_cancels_where_comfyui_has_it(
    tmp_path: Path, version: str, requests: dict[str, int]
) -> None:
    """Of two, a look and an interrupt, the second could hit the next prompt."""
    options = EmulatorOptions(step_time=0.005, output_dir=tmp_path, comfyui_version=version)
    async with Emulator(options) as emulator, Recorder(emulator.port) as recorder:
        async with ComfySession(recorder.url) as session:
            run = (await Driver.on(session)).run()
            emulator.faults.hang()
            await run.submit()
            await wait_until(lambda: emulator.faults.hanging)
            assert await session.cancel(run.prompt_id)
        posted = [line.replace(run.prompt_id, "{}") for line in recorder.lines]
        assert Counter(line for line in posted if line in POSSIBLE) == requests


async def test_a_proxy_that_knows_no_jobs_is_no_obstacle(
    driver: Driver, emulator: Emulator
) -> None:
    for status in (403, 404, 405):
        run = driver.run(steps=LONG_STEPS)
        await run.submit()
        await run.until_running()
        emulator.faults.answer("POST", f"/jobs/{run.prompt_id}/cancel", status=status)
        assert await driver.session.cancel(run.prompt_id)
        await run.until_over()


async def test_a_base_url_that_ends_in_api(emulator: Emulator) -> None:
    async with ComfySession(f"{emulator.url}/api") as session:
        run = (await Driver.on(session)).run()
        emulator.faults.hang()
        await run.submit()
        await wait_until(lambda: emulator.faults.hanging)
        assert await session.client.cancel(run.prompt_id)
        await run.until_over()
