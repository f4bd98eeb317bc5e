"""ComfyUI before 0.3.45, which ignores a prompt's id, and before 0.3.57."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from comfy import ComfySession, ComfyTooOldError, ForeignPromptError
from comfy.emulator import Emulator, EmulatorOptions
from tests.contract.driving import Driver, model_free, wait_until


def old(tmp_path: Path, version: str) -> Emulator:
    options = EmulatorOptions(step_time=0.005, output_dir=tmp_path, comfyui_version=version)
    return Emulator(options)


async def test_nothing_is_posted_to_one_that_is_too_old(tmp_path: Path) -> None:
    async with old(tmp_path, "0.3.44") as emulator, ComfySession(emulator.url) as session:
        assert not session.reachable
        assert session.reachable_detail == (
            "ComfyUI 0.3.44 is too old: Easel needs 0.3.45 or later"
        )
        prompt_id = str(uuid.uuid4())
        with pytest.raises(ComfyTooOldError):
            await session.submit(model_free(prompt_id), prompt_id, fresh=True)
        assert emulator.posts == {}


async def test_it_goes_on_when_comfyui_was_updated(tmp_path: Path) -> None:
    async with old(tmp_path, "0.3.44") as emulator, ComfySession(emulator.url) as session:
        waiting = asyncio.create_task(session.wait_until_reachable())
        emulator.options = replace(emulator.options, comfyui_version="0.3.57")
        await emulator.restart()
        await waiting
        run = (await Driver.on(session)).run()
        assert len(await run.finish()) == 1


async def test_a_prompt_with_another_id_is_taken_back_and_not_posted_again(tmp_path: Path) -> None:
    async with old(tmp_path, "0.24.0") as emulator, ComfySession(emulator.url) as session:
        driver = await Driver.on(session)
        emulator.faults.hang()
        first = driver.run()
        await first.submit()
        await first.until_running()
        emulator.faults.ignore_prompt_ids()
        with pytest.raises(ForeignPromptError):
            await driver.run().submit()
        assert len(emulator.posts) == 2
        queue = await session.client.queue()
        assert [item.prompt_id for item in (*queue.running, *queue.pending)] == [first.prompt_id]
        # One that executes at once is interrupted.
        await session.cancel(first.prompt_id)
        emulator.faults.hang()
        with pytest.raises(ForeignPromptError):
            await driver.run().submit()
        queue = await session.client.queue()
        assert (queue.running, queue.pending) == ((), ())


async def test_one_that_interrupts_whatever_executes_works(tmp_path: Path) -> None:
    async with old(tmp_path, "0.3.45") as emulator, ComfySession(emulator.url) as session:
        driver = await Driver.on(session)
        emulator.faults.hang()
        run, other = driver.run(), driver.run()
        await run.submit()
        await other.submit()
        await run.until_running()
        assert await session.cancel(run.prompt_id)
        await run.until_over()
        assert len(await other.track()) == 1


async def test_a_comfyui_that_is_stopped_counts_as_unreachable_though_its_socket_is_open(
    tmp_path: Path,
) -> None:
    async with old(tmp_path, "0.24.0") as emulator, ComfySession(emulator.url) as session:
        assert session.reachable
        emulator.faults.answer("GET", "/prompt", delay=3600)
        await wait_until(lambda: not session.reachable, within=60)
        assert "did not answer" in session.reachable_detail
        await session.wait_until_reachable()
