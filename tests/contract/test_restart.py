"""ComfyUI goes and comes back: its memory is gone, its files are not."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from comfy import ComfyAway, ComfyBack, ComfySession, PromptLostError, build_graph
from comfy.emulator import Emulator, EmulatorOptions
from core.requests import ResolvedRequest
from core.workflows.declaration import Workflow
from tests.contract.driving import LONG_STEPS, Driver, Run, wait_until


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


def imported(*nodes: tuple[str, str, dict[str, Any]], kinds: Mapping[str, str]) -> Workflow:
    """A workflow whose nodes ``kinds`` give what they are declared to give."""
    graph = {name: {"class_type": kind, "inputs": inputs} for name, kind, inputs in nodes}
    outputs = [{"node": node, "kind": kind, "name": node} for node, kind in kinds.items()]
    fields = {"name": "own", "title": "Own", "graph": graph, "outputs": outputs}
    return Workflow.model_validate_json(json.dumps(fields))


def empty_image(many: Any = 1) -> tuple[str, str, dict[str, Any]]:
    size = {"width": 64, "height": 64, "batch_size": many}
    return "1", "EmptyImage", {**size, "color": uuid.uuid4().int % 2**24}


SAVED: Final = ("2", "SaveImage", {"images": ["1", 0], "filename_prefix": "x"})
TEXT: Final = ("3", "SaveText", {"text": "a fox", "filename_prefix": "x", "format": "txt"})
SHOWN: Final = ("4", "PreviewImage", {"images": ["1", 0]})
REPEATED: Final = ("5", "RepeatImageBatch", {"image": ["1", 0], "amount": 2})
MANY: Final = ("6", "PrimitiveInt", {"value": 2})


def run_of(session: ComfySession, workflow: Workflow) -> Run:
    prompt_id = str(uuid.uuid4())
    request = ResolvedRequest(
        workflow=workflow.name, inputs={}, priority="bulk", timeout_s=60, metadata={}
    )
    return Run(session, prompt_id, build_graph(request, prompt_id, workflow))


async def over(session: ComfySession, workflow: Workflow) -> Run:
    """A prompt that has been executed."""
    run = run_of(session, workflow)
    await run.submit()
    await run.until_over()
    return run


@pytest.mark.parametrize(
    ("workflow", "count"),
    [
        (imported(empty_image(), SAVED, kinds={"2": "image"}), 1),
        (imported(empty_image(3), SAVED, kinds={"2": "image"}), 3),
        (imported(TEXT, kinds={"3": "text"}), 1),
    ],
    ids=["an image", "three images", "a text"],
)
async def test_what_an_imported_workflow_has_saved_is_found_by_its_names(
    session: ComfySession, emulator: Emulator, workflow: Workflow, count: int
) -> None:
    run = await over(session, workflow)

    await emulator.restart()

    assert await run.submit() == "found_by_name"
    found = await run.track()
    assert len({one.filename for one in found}) == count
    assert {one.node for one in found} == {output.node for output in workflow.outputs}
    assert emulator.posts[run.prompt_id] == 1


@pytest.mark.parametrize(
    "workflow",
    [
        imported(empty_image(2), SAVED, TEXT, kinds={"2": "image", "3": "text"}),
        imported(empty_image(), SAVED, SHOWN, kinds={"2": "image", "4": "image"}),
        imported(
            empty_image(),
            REPEATED,
            ("2", "SaveImage", {"images": ["5", 0], "filename_prefix": "x"}),
            kinds={"2": "image"},
        ),
        imported(empty_image(["6", 0]), MANY, SAVED, kinds={"2": "image"}),
    ],
    ids=["two savers", "a preview", "a class that may multiply", "a linked number"],
)
async def test_what_is_not_certain_is_not_found(
    session: ComfySession, emulator: Emulator, workflow: Workflow, tmp_path: Path
) -> None:
    run = await over(session, workflow)
    assert files_of(tmp_path, run)

    await emulator.restart()

    assert await run.submit() == "posted"


def files_of(folder: Path, run: Run) -> list[Path]:
    return list(folder.rglob(f"{run.prompt_id}_*"))


def the_file(folder: Path, pattern: str) -> Path:
    (file,) = folder.rglob(pattern)
    return file


async def test_a_part_of_what_was_to_be_saved_is_not_taken_for_all(
    session: ComfySession, emulator: Emulator, tmp_path: Path
) -> None:
    run = await over(session, imported(empty_image(3), SAVED, kinds={"2": "image"}))
    the_file(tmp_path, f"{run.prompt_id}_*3_.png").unlink()

    await emulator.restart()

    assert await run.submit() == "posted"


async def test_what_was_executed_twice_is_not_found(
    session: ComfySession, emulator: Emulator, tmp_path: Path
) -> None:
    """One file more than it saves: the first may be of the execution that was broken off."""
    run = await over(session, imported(empty_image(2), SAVED, kinds={"2": "image"}))
    file = the_file(tmp_path, f"{run.prompt_id}_*2_.png")
    shutil.copy(file, file.with_name(file.name.replace("2_.png", "3_.png")))

    await emulator.restart()

    assert await run.submit() == "posted"
