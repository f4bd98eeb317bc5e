"""Following a prompt when something goes wrong on the way or in ComfyUI."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from comfy import (
    ComfyAway,
    ComfyBack,
    ComfyProtocolError,
    ComfySession,
    ExecutionFailedError,
    ExecutionTimeoutError,
    GraphBuilder,
    NoOutputError,
    OutOfMemoryComfyError,
    OutputFile,
    OutputReady,
    PromptInterruptedError,
)
from comfy.emulator import Emulator
from tests.contract.driving import LONG_STEPS, Driver, Run, release, wait_until


def file_of(emulator: Emulator, image: OutputFile) -> Path:
    return emulator.output_dir / image.subfolder / image.filename


# ---- the websocket


async def test_a_websocket_that_drops_midway(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.drop_sockets_after(2)
    run = driver.run(steps=60)
    assert len(await run.finish()) == 1
    assert run.percents[-1] == 100
    assert emulator.renders[run.prompt_id] == 1


async def test_a_websocket_that_drops_and_stays_away(driver: Driver, emulator: Emulator) -> None:
    run = driver.run(steps=100)
    await run.submit()
    track = run.start_tracking()
    await run.until_started()
    emulator.faults.refuse_sockets(3600)
    emulator.faults.drop_sockets()
    assert len(await track) == 1
    assert driver.session.reachable
    assert not run.heard(ComfyAway)


async def test_a_websocket_that_never_opens(emulator: Emulator) -> None:
    emulator.faults.refuse_sockets(3600)
    async with ComfySession(emulator.url) as session:
        assert session.reachable
        run = (await Driver.on(session)).run(steps=100)
        (image,) = await run.finish()
        assert run.heard(OutputReady) == [OutputReady(image)]


async def test_a_websocket_that_falls_silent(driver: Driver, emulator: Emulator) -> None:
    run = driver.run(steps=20)
    emulator.faults.stall_sockets()
    assert len(await run.finish()) == 1


# ---- answers that make no sense


@pytest.mark.parametrize("path", ["/queue", "*"])
async def test_nonsense_while_tracking(driver: Driver, emulator: Emulator, path: str) -> None:
    run = driver.run(steps=5)
    await run.submit()
    emulator.faults.answer(
        "GET", path, times=2, status=200, body="<html>", content_type="text/html"
    )
    assert len(await run.track()) == 1
    assert len(run.heard(ComfyAway)) == len(run.heard(ComfyBack))


# ---- ComfyUI's bad ends


async def test_somebody_interrupts(driver: Driver) -> None:
    run = driver.run(steps=LONG_STEPS)
    await run.submit()
    track = run.start_tracking()
    await run.until_started()
    await driver.session.client.interrupt(run.prompt_id)
    with pytest.raises(PromptInterruptedError):
        await track
    with pytest.raises(PromptInterruptedError):  # and so it stays
        await run.track()


async def test_a_node_fails(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.fail_node("VAEDecode", "ValueError", "bad latent")
    run = driver.run()
    with pytest.raises(ExecutionFailedError, match="bad latent") as caught:
        await run.finish()
    assert (caught.value.node_class, caught.value.exception_type) == ("VAEDecode", "ValueError")
    assert not isinstance(caught.value, OutOfMemoryComfyError)
    assert len(await driver.run().finish()) == 1  # the next is none the worse


async def test_a_node_fails_at_run_time_in_the_real_way(session: ComfySession) -> None:
    # ComfyUI refuses to save outside its folder, but only when the node runs.
    graph = GraphBuilder()
    graph.save_image(graph.empty_image(64, 64), "../outside")
    run = Run(session, str(uuid.uuid4()), graph.build())
    with pytest.raises(ExecutionFailedError) as caught:
        await run.finish()
    assert caught.value.node_class == "SaveImage"


async def test_memory_runs_out_then_free_forget_and_once_more(
    driver: Driver, emulator: Emulator
) -> None:
    emulator.faults.out_of_memory()
    run = driver.run()
    with pytest.raises(OutOfMemoryComfyError):
        await run.finish()
    await driver.session.client.free()
    assert await run.submit() == "already_finished"  # it ended, though badly
    await driver.session.forget(run.prompt_id)
    assert await run.submit() == "posted"
    assert len(await run.track()) == 1


async def test_it_executes_too_long(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.hang()
    run = driver.run()
    await run.submit()
    with pytest.raises(ExecutionTimeoutError):
        await run.track(timeout_s=0.2)
    assert await driver.session.cancel(run.prompt_id)


async def test_a_dead_worker_thread_looks_like_a_long_execution(
    driver: Driver, emulator: Emulator
) -> None:
    emulator.faults.zombie()
    run = driver.run()
    await run.submit()
    with pytest.raises(ExecutionTimeoutError):
        await run.track(timeout_s=0.2)


async def test_waiting_does_not_count_as_executing(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.hang(seconds=2.5)
    slow, quick = driver.run(), driver.run()
    await slow.submit()
    await quick.submit()
    assert len(await quick.track(timeout_s=2)) == 1


async def test_time_away_does_not_count_as_executing(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.hang()
    run = driver.run()
    await run.submit()
    emulator.faults.answer("GET", "/queue", times=3, status=503)
    track = run.start_tracking()
    await wait_until(lambda: bool(run.heard(ComfyBack)))
    await wait_until(lambda: release(emulator, track))
    assert len(await track) == 1


# ---- outputs


async def test_success_without_outputs_but_with_files(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.empty_outputs()
    run = driver.run(batch_size=2)
    assert len(await run.finish()) == 2


async def test_success_without_outputs_or_files(driver: Driver, emulator: Emulator) -> None:
    first = driver.run()
    (image,) = await first.finish()
    file_of(emulator, image).unlink()
    await driver.session.forget(first.prompt_id)
    # The identical graph is served from the cache, and the file it names is gone.
    emulator.faults.empty_outputs()
    assert await first.submit() == "posted"
    with pytest.raises(NoOutputError):
        await first.track()


async def test_a_file_that_is_cut_on_the_way_is_fetched_again(
    driver: Driver, emulator: Emulator
) -> None:
    (image,) = await driver.run().finish()
    emulator.faults.truncate_views(times=1)
    assert (await driver.session.fetch(image)).width == 64
    emulator.faults.truncate_views(times=2)
    with pytest.raises(ComfyProtocolError):
        await driver.session.fetch(image)


async def test_a_file_that_is_cut_on_the_disk(driver: Driver, emulator: Emulator) -> None:
    (image,) = await driver.run().finish()
    file = file_of(emulator, image)
    whole = file.read_bytes()
    for data in (whole[:-100], whole[:20], b"", whole[:100] + bytes(len(whole) - 100)):
        file.write_bytes(data)
        with pytest.raises(ComfyProtocolError):
            await driver.session.fetch(image)
    file.unlink()
    with pytest.raises(NoOutputError):
        await driver.session.fetch(image)


async def test_progress_never_falls_though_the_connection_does(
    driver: Driver, emulator: Emulator
) -> None:
    run = driver.run(steps=80)
    await run.submit()
    track = run.start_tracking()
    for _ in range(3):
        await wait_until(lambda: bool(emulator.faults.drop_sockets()))
    await track
    assert run.percents == sorted(run.percents)
