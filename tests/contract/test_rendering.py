"""From a workflow to pictures, when nothing goes wrong."""

from __future__ import annotations

import asyncio
import io
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect

from comfy import (
    ComfySession,
    GraphBuilder,
    NoOutputError,
    OutputReady,
    Preview,
    Progress,
    Queued,
    Started,
    build_graph,
)
from comfy.emulator import Emulator, EmulatorOptions
from comfy.messages import Executing, PreviewFrame, parse
from core.ids import OUTPUT_SUBFOLDER, output_filename
from tests.comfy.data import resolved
from tests.contract.conftest import Target
from tests.contract.driving import LONG_STEPS, Driver, Recorder, Run, wait_until


async def test_a_prompt_becomes_a_picture(driver: Driver) -> None:
    run = driver.run(steps=4)
    assert await run.submit() == "posted"
    (image,) = await run.track()
    assert image.filename == output_filename(run.prompt_id, 1)
    assert image.subfolder == OUTPUT_SUBFOLDER
    fetched = await driver.session.fetch(image)
    assert (fetched.width, fetched.height, fetched.content_type) == (64, 64, "image/png")


async def test_what_is_told_on_the_way(driver: Driver) -> None:
    run = driver.run(steps=4)
    (image,) = await run.finish()
    assert len(run.heard(Started)) == 1
    assert run.heard(OutputReady) == [OutputReady(image)]
    assert run.percents == sorted(run.percents)
    assert run.percents[-1] == 100
    assert all(percent < 100 for percent in run.percents[:-1])
    sampling = [event for event in run.heard(Progress) if event.step is not None]
    assert {event.node_class for event in sampling} == {"KSampler"}
    assert {event.steps for event in sampling} == {4}


async def test_steps_that_comfyui_leaves_out(comfy_url: str) -> None:
    """Without previews it tells ten steps a second at most (comfy/utils.py of 0.33.0)."""
    async with ComfySession(comfy_url, previews=False) as session:
        run = (await Driver.on(session)).run(steps=LONG_STEPS)
        assert len(await run.finish()) == 1
    told = run.heard(Progress)
    steps = [event.step for event in told if event.step is not None]
    assert 0 < len(set(steps)) < LONG_STEPS
    assert steps == sorted(steps)
    assert run.percents == sorted(run.percents)
    assert (told[-1].percent, told[-1].nodes_done) == (100, told[-1].nodes_total)


async def test_a_batch(driver: Driver) -> None:
    run = driver.run(batch_size=3)
    images = await run.finish()
    assert [image.filename for image in images] == [
        output_filename(run.prompt_id, number) for number in (1, 2, 3)
    ]


async def test_without_a_model(driver: Driver) -> None:
    run = driver.model_free_run()
    assert len(await run.finish()) == 1


async def test_success_is_announced_before_the_history_knows(driver: Driver) -> None:
    runs = [driver.model_free_run() for _ in range(20)]
    assert [len(await run.finish()) for run in runs] == [1] * 20


async def test_a_short_prompt_needs_two_requests(emulator: Emulator) -> None:
    """Not each one, as on a busy machine none is short."""
    async with Recorder(emulator.port) as recorder, ComfySession(recorder.url) as session:
        driver = await Driver.on(session)
        for _ in range(20):
            run = driver.model_free_run()
            recorder.lines.clear()
            await run.submit(fresh=True)
            assert len(await run.track()) == 1
            if recorder.lines == ["POST /prompt", f"GET /history/{run.prompt_id}"]:
                return
        pytest.fail(f"even the last one needed {recorder.lines}")


async def test_many_at_once_are_not_confused(driver: Driver) -> None:
    runs = [driver.run(batch_size=1 + number % 2) for number in range(6)]
    found = await asyncio.gather(*(run.finish() for run in runs))
    for run, images in zip(runs, found, strict=True):
        assert len(images) == run.graph.expected_outputs
        assert all(image.filename.startswith(run.prompt_id) for image in images)
        assert all(event.node in run.graph.nodes for event in run.heard(Progress) if event.node)


async def test_an_ended_prompt_can_be_tracked(driver: Driver) -> None:
    run = driver.run()
    await run.submit()
    await run.until_over()
    images = await run.track()
    assert await run.track() == images


async def test_a_prompt_of_a_dead_process_can_be_tracked(driver: Driver, comfy_url: str) -> None:
    run = driver.run(steps=20)
    async with ComfySession(comfy_url) as dead:
        await dead.submit(run.graph, run.prompt_id)
    assert len(await run.track()) == 1


async def test_the_position_in_the_queue(driver: Driver, target: Target) -> None:
    if target.emulator is not None:
        target.emulator.faults.hang()  # until it is cancelled, however slow this machine is
    first, second, third = (driver.run(steps=LONG_STEPS), driver.run(), driver.run())
    tracks = []
    for run in (first, second, third):
        await run.submit()
        tracks.append(run.start_tracking())
    await first.until_started()
    await wait_until(lambda: Queued(2) in third.heard(Queued))
    await driver.session.cancel(second.prompt_id)
    await wait_until(lambda: third.heard(Queued)[-1] == Queued(1))
    await driver.session.cancel(first.prompt_id)
    await asyncio.gather(*tracks, return_exceptions=True)
    assert len(tracks[2].result()) == 1


async def test_the_same_request_again_is_a_new_file(driver: Driver) -> None:
    first, second = driver.run(seed=7), driver.run(seed=7)
    (one,), (two,) = await first.finish(), await second.finish()
    assert one.filename != two.filename
    assert (await driver.session.fetch(one)).width == (await driver.session.fetch(two)).width


async def test_an_identical_graph_yields_another_prompt_s_file_which_is_not_ours(
    driver: Driver,
) -> None:
    first = driver.run()
    await first.finish()
    twin = Run(driver.session, str(uuid.uuid4()), first.graph)
    with pytest.raises(NoOutputError, match="another prompt"):
        await twin.finish()


async def test_a_foreign_prompt_s_broadcasts_are_not_taken_for_ours(
    driver: Driver, comfy_url: str
) -> None:
    # Without a client_id ComfyUI sends progress and previews to every socket.
    foreign = build_graph(resolved(model=driver.checkpoint, steps=30), str(uuid.uuid4()))
    async with httpx.AsyncClient() as other:
        body = {"prompt": foreign.to_json(), "extra_data": {"preview_method": "auto"}}
        (await other.post(f"{comfy_url}/prompt", json=body)).raise_for_status()
    run = driver.run()
    await run.finish()
    started = run.events.index(Started())
    assert all(isinstance(event, Queued) for event in run.events[:started])


async def test_previews(driver: Driver, emulator: Emulator) -> None:
    run = driver.run(steps=5)
    await run.finish()
    previews = run.heard(Preview)
    assert previews
    assert {preview.content_type for preview in previews} == {"image/jpeg"}


async def test_frames_of_more_than_a_mebibyte(driver: Driver, emulator: Emulator) -> None:
    # websockets' own limit would close the connection.
    prompt_id = str(uuid.uuid4())
    graph = GraphBuilder()
    noise, _ = graph.add("LoadImage", outputs=2, image=await _upload_noise(emulator.url))
    graph.add("SaveImageWebsocket", outputs=0, images=noise)
    run = Run(driver.session, prompt_id, graph.build(expected_outputs=1))
    with pytest.raises(NoOutputError):  # such pictures are not kept by ComfyUI
        await run.finish()
    assert max(len(preview.data) for preview in run.heard(Preview)) > 2**20
    assert {preview.content_type for preview in run.heard(Preview)} == {"image/png"}


async def _upload_noise(url: str) -> str:
    data = io.BytesIO()
    Image.frombytes("RGB", (768, 768), os.urandom(768 * 768 * 3)).save(data, "PNG")
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"{url}/upload/image", files={"image": ("noise.png", data.getvalue())}
        )
    return str(answer.raise_for_status().json()["name"])


async def test_previews_of_the_old_kind_name_no_prompt(driver: Driver, emulator: Emulator) -> None:
    # A client that does not negotiate gets them; older ComfyUI knows no others.
    address = emulator.url.replace("http", "ws")
    async with connect(f"{address}/ws?clientId=old", proxy=None) as old:
        run = driver.run(steps=5)
        await driver.session.client.post_prompt(run.graph, run.prompt_id, "old")
        messages = [parse(frame) async for frame in _until_end(old)]
    previews = [message for message in messages if isinstance(message, PreviewFrame)]
    assert previews
    assert {(each.prompt_id, each.content_type) for each in previews} == {(None, "image/jpeg")}
    assert len(await run.track()) == 1


async def _until_end(connection: ClientConnection) -> AsyncIterator[str | bytes]:
    async for frame in connection:
        yield frame
        match parse(frame):
            case Executing(prompt_id=str(), node=None):
                return


async def test_files_with_ids(tmp_path: Path) -> None:
    """With ComfyUI's --enable-assets."""
    options = EmulatorOptions(step_time=0.005, output_dir=tmp_path, assets=True)
    async with Emulator(options) as emulator, ComfySession(emulator.url) as session:
        run = (await Driver.on(session)).run(batch_size=2)
        images = await run.finish()
        assert [image.filename for image in images] == [
            output_filename(run.prompt_id, number) for number in (1, 2)
        ]
        assert run.heard(OutputReady)[0].file == images[0]
