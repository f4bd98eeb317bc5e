"""ComfyUI goes and comes back: its memory is gone, its files are not."""

from __future__ import annotations

import asyncio

import pytest

from comfy import ComfyAway, ComfyBack, ComfySession, PromptLostError
from comfy.emulator import Emulator, EmulatorOptions
from tests.contract.driving import LONG_STEPS, Driver, wait_until


async def test_a_running_prompt_is_lost_and_rendered_once_more(
    driver: Driver, emulator: Emulator
) -> None:
    run = driver.run(steps=LONG_STEPS)
    await run.submit()
    track = run.start_tracking()
    await wait_until(lambda: run.prompt_id in emulator.renders)
    await emulator.restart(down_s=2)
    with pytest.raises(PromptLostError):
        await track
    assert [type(event) for event in run.events if isinstance(event, ComfyAway | ComfyBack)] == [
        ComfyAway,
        ComfyBack,
    ]
    assert await run.submit() == "posted"
    assert len(await run.track()) == 1
    assert emulator.renders[run.prompt_id] == 2
    assert [each["incarnation"] for each in emulator.executions] == [1, 2]


async def test_waiting_prompts_are_lost_and_each_posted_once_more(
    driver: Driver, emulator: Emulator
) -> None:
    emulator.faults.hang()
    runs = [driver.run() for _ in range(4)]
    for run in runs:
        await run.submit()
    tracks = [run.start_tracking() for run in runs]
    await wait_until(lambda: bool(emulator.renders))
    await emulator.restart()
    for outcome in await asyncio.gather(*tracks, return_exceptions=True):
        assert isinstance(outcome, PromptLostError)
    for run in runs:
        assert len(await run.finish()) == 1
        assert emulator.posts[run.prompt_id] == 2


async def test_a_finished_picture_is_found_by_its_name(driver: Driver, emulator: Emulator) -> None:
    run = driver.run(batch_size=2)
    images = await run.finish()
    await emulator.restart()
    assert await run.submit() == "found_by_name"
    assert await run.track() == images
    assert emulator.renders[run.prompt_id] == 1


async def test_a_picture_finished_just_before_is_found_while_tracking(
    driver: Driver, emulator: Emulator
) -> None:
    run = driver.run()
    await run.submit()
    await run.until_over()
    await emulator.restart()
    assert len(await run.track()) == 1
    assert emulator.renders[run.prompt_id] == 1


async def test_a_session_outlives_comfyui(driver: Driver, emulator: Emulator) -> None:
    for _ in range(3):
        await emulator.restart()
        assert len(await driver.run().finish()) == 1
    await wait_until(lambda: driver.session.reachable)


async def test_a_session_can_begin_before_comfyui() -> None:
    async with Emulator() as emulator:
        port = emulator.port
    heard: list[bool] = []
    async with ComfySession(
        emulator.url, on_reachable=lambda reachable, _: heard.append(reachable)
    ) as session:
        assert not session.reachable
        assert session.reachable_detail
        async with Emulator(EmulatorOptions(port=port)):
            await session.wait_until_reachable()
            run = (await Driver.on(session)).run()
            assert len(await run.finish()) == 1
        await wait_until(lambda: not session.reachable)
    assert heard == [True, False]
