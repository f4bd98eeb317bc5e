"""ComfyUI's HTTP routes, and what its answers mean."""

from __future__ import annotations

import uuid

import pytest

from comfy import (
    ComfyProtocolError,
    ComfySession,
    ComfyTimeoutError,
    ComfyUnreachableError,
    Graph,
    GraphBuilder,
    NoOutputError,
    OutputFile,
    Queued,
    WorkflowRejectedError,
    build_graph,
)
from comfy.client import ComfyClient
from comfy.emulator import Emulator
from comfy.graph import ImageHandle
from core.ids import filename_prefix
from tests.comfy.data import resolved
from tests.contract.driving import Driver, release, wait_until


def changed(driver: Driver, prompt_id: str, **changes: object) -> Graph:
    return build_graph(resolved(model=driver.checkpoint).changed(**changes), prompt_id)


@pytest.mark.parametrize(
    ("field", "value", "words", "code"),
    [
        ("model", "no.safetensors", "node 1), input ckpt_name: Value not in", "value_not_in_list"),
        ("sampler", "zzz", "KSampler (node 5), input sampler_name: ", "value_not_in_list"),
        ("scheduler", "zzz", "KSampler (node 5), input scheduler: ", "value_not_in_list"),
        ("steps", 0, "input steps: Value 0 smaller than min of 1", "value_smaller_than_min"),
        ("cfg", 1000.0, "input cfg: Value 1000.0 bigger", "value_bigger_than_max"),
        ("width", "wide", "input width: Failed to convert", "invalid_input_type"),
    ],
)
async def test_rejections_are_in_comfyui_s_own_words(
    driver: Driver, field: str, value: object, words: str, code: str
) -> None:
    prompt_id = str(uuid.uuid4())
    workflow = changed(driver, prompt_id, **{field: value})
    with pytest.raises(WorkflowRejectedError) as caught:
        await driver.session.submit(workflow, prompt_id, fresh=True)
    assert words in str(caught.value)
    assert code in {problem.code for problem in caught.value.problems}


async def test_an_unknown_node_class_is_rejected(session: ComfySession) -> None:
    graph = GraphBuilder()
    graph.add("NoSuchNode", outputs=0)
    with pytest.raises(WorkflowRejectedError) as caught:
        await session.submit(graph.build(), str(uuid.uuid4()))
    assert "NoSuchNode" in str(caught.value) or "not found" in str(caught.value)


async def test_a_workflow_without_outputs_is_rejected(session: ComfySession) -> None:
    graph = GraphBuilder()
    graph.empty_image(64, 64)
    with pytest.raises(WorkflowRejectedError, match="no outputs"):
        await session.submit(graph.build(), str(uuid.uuid4()))


async def test_an_id_that_is_no_canonical_uuid_is_rejected(
    driver: Driver, emulator: Emulator
) -> None:
    # ComfyUI 0.3 took any id, so this is for the emulator's 0.24.
    run = driver.run()
    with pytest.raises(WorkflowRejectedError) as caught:
        await driver.session.submit(run.graph, run.prompt_id.upper())
    assert caught.value.problems[0].code == "invalid_prompt_id"


async def test_a_dropped_output_is_a_rejection_and_nothing_is_rendered(
    session: ComfySession,
) -> None:
    prompt_id = str(uuid.uuid4())
    graph = GraphBuilder()
    graph.save_image(graph.empty_image(64, 64), filename_prefix(prompt_id))
    graph.save_image(ImageHandle("1", 5), filename_prefix(prompt_id))
    with pytest.raises(WorkflowRejectedError) as caught:
        await session.submit(graph.build(), prompt_id)
    assert caught.value.problems
    assert (await session.client.queue()).find(prompt_id) is None


async def test_history_knows_only_what_has_ended(driver: Driver) -> None:
    run = driver.run(steps=100)
    client = driver.session.client
    assert await client.history(run.prompt_id) is None
    await run.submit()
    await run.until_running()
    assert await client.history(run.prompt_id) is None
    await driver.session.cancel(run.prompt_id)
    await run.until_over()
    entry = await client.history(run.prompt_id)
    assert entry is not None
    assert entry.interrupted
    assert entry.error is None


async def test_what_waits_comes_in_the_order_of_execution(
    driver: Driver, emulator: Emulator
) -> None:
    emulator.faults.hang()
    first, *others = (driver.run() for _ in range(12))
    for run in (first, *others):
        await run.submit()
    await first.until_running()
    queue = await driver.session.client.queue()
    assert [item.prompt_id for item in queue.pending] == [run.prompt_id for run in others]
    assert [queue.position(run.prompt_id) for run in others] == list(range(1, 12))
    assert queue.position(first.prompt_id) is None


async def test_every_prompt_bears_our_client_id_and_no_number(
    driver: Driver, emulator: Emulator
) -> None:
    emulator.faults.hang()
    run = driver.run()
    await run.submit()
    item = (await driver.session.client.queue()).find(run.prompt_id)
    assert item is not None
    assert item.client_id
    assert item.number == int(item.number)


async def test_a_file_that_is_not_there(session: ComfySession) -> None:
    with pytest.raises(NoOutputError):
        await session.fetch(OutputFile("none_00001_.png", "easel", "output"))


async def test_what_comfyui_has(session: ComfySession) -> None:
    catalogue = await session.client.catalogue()
    assert catalogue.checkpoints
    assert "euler" in catalogue.samplers
    assert "normal" in catalogue.schedulers
    # ComfyUI lists it as a VAE, and it is no file.
    assert "pixel_space" not in catalogue.vaes
    stats = await session.client.system_stats()
    assert catalogue.version == stats.version != ""
    assert stats.devices


async def test_the_emulator_says_what_it_is(session: ComfySession, emulator: Emulator) -> None:
    assert (await session.client.system_stats()).is_emulator


async def test_forgetting_and_freeing(driver: Driver) -> None:
    run = driver.run()
    await run.finish()
    await driver.session.client.free()
    await driver.session.forget(run.prompt_id)
    assert await driver.session.client.history(run.prompt_id) is None


async def test_idle_connections_that_died_in_a_restart_are_no_fault(
    session: ComfySession, emulator: Emulator
) -> None:
    await session.client.queue()
    await emulator.restart()
    assert (await session.client.queue()).pending == ()


async def test_a_connection_cut_before_the_answer_is_tried_again_for_a_get(
    session: ComfySession, emulator: Emulator
) -> None:
    emulator.faults.answer("GET", "/queue", truncate=0)
    with pytest.raises(ComfyProtocolError):  # cut in the body
        await session.client.queue()
    assert (await session.client.queue()).running == ()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<html>a captive portal</html>"),
        (200, ""),
        (200, "[]"),
        (200, "null"),
        (200, "{}"),
        (200, '{"queue_running": [], "queue_pending": [[1]]}'),
        (200, '{"queue_running": 5, "queue_pending": []}'),
        (200, "[" * 100_000),
        (302, ""),
        (403, ""),
        (500, "500 Internal Server Error"),
        (502, "<html>bad gateway</html>"),
    ],
)
async def test_answers_that_make_no_sense(
    session: ComfySession, emulator: Emulator, status: int, body: str
) -> None:
    emulator.faults.answer("GET", "/queue", status=status, body=body)
    with pytest.raises(ComfyProtocolError):
        await session.client.queue()


async def test_no_answer_in_time(emulator: Emulator) -> None:
    client = ComfyClient(emulator.url, timeout_s=1)
    emulator.faults.answer("GET", "/queue", delay=60)
    with pytest.raises(ComfyTimeoutError):
        await client.queue()
    await client.aclose()


async def test_nobody_there(emulator: Emulator) -> None:
    client = ComfyClient(emulator.url)
    await emulator.stop()
    with pytest.raises(ComfyUnreachableError):
        await client.queue()
    await client.aclose()


async def test_positions_are_told_as_they_change(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.hang()
    runs = [driver.run() for _ in range(3)]
    for run in runs:
        await run.submit()
    tracks = [run.start_tracking() for run in runs]
    await wait_until(lambda: runs[2].heard(Queued) == [Queued(2)])
    await wait_until(lambda: release(emulator, tracks[0]))
    for track in tracks:
        assert len(await track) == 1


async def test_prompts_of_strangers_ahead_are_told(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.hang()
    async with ComfySession(emulator.url) as stranger:
        theirs = [(await Driver.on(stranger)).run() for _ in range(2)]
        for run in theirs:
            await run.submit()
    ours = [driver.run() for _ in range(2)]
    for run in ours:
        await run.submit()
    tracks = [run.start_tracking() for run in ours]
    await wait_until(lambda: ours[0].heard(Queued)[-1:] == [Queued(2, strangers=2)])
    await wait_until(lambda: ours[1].heard(Queued)[-1:] == [Queued(3, strangers=2)])
    await wait_until(lambda: release(emulator, tracks[0]))
    await wait_until(lambda: release(emulator, tracks[1]))
