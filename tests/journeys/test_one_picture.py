"""Somebody asks for a picture, watches it come, and has it."""

from __future__ import annotations

import hashlib
import io
from uuid import UUID

import pytest
from PIL import Image
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact

from tests.harness.generations import BASE, SMALL
from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey


def test_a_picture_is_asked_for_watched_and_kept(stack: Stack) -> None:
    stack.emulator.fault("hang", step=4)  # until somebody has seen that it runs
    created = stack.api.post(f"{BASE}/create", json={"prompt": "a red fox at dawn", "steps": 8})
    assert created.status_code == 202
    generation = stack.generation(created.json()["task_id"])
    assert created.headers["Location"].endswith(f"{BASE}/status/{generation.id}")
    assert all(
        value is not None
        for name, value in created.json()["request"].items()
        if name != "callback_url"
    ), created.json()["request"]

    stream, events = generation.events(), []
    for event in stream:
        events.append(event)
        if event.name == "status" and event.data["status"] == "running":
            break
    generation.wait_until_halfway()
    stack.emulator.fault("release")
    events += stream
    statuses = [event.data for event in events if event.name == "status"]
    words = list(dict.fromkeys(status["status"] for status in statuses))
    assert words[-2:] == ["running", "succeeded"]
    assert words in (["queued", "running", "succeeded"], words[-2:])  # it may have begun by then
    sequences = [int(event.id) for event in events]
    assert sequences == sorted(sequences)
    assert len({status["sequence"] for status in statuses}) == len(statuses)
    percents = [event.data["percent"] for event in events if event.name == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100

    [image] = generation.result()["images"]
    assert [event.data for event in events if event.name == "output"] == [image]
    answer = stack.api.get(image["url"])
    assert answer.headers["Content-Type"] == "image/png"
    assert hashlib.sha256(answer.content).hexdigest() == image["sha256"]
    assert len(answer.content) == image["bytes"]
    with Image.open(io.BytesIO(answer.content)) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.size == (image["width"], image["height"]) == (512, 512)
    thumbnail = stack.api.get(image["thumbnail_url"])
    with Image.open(io.BytesIO(thumbnail.content)) as picture:
        picture.load()
        assert max(picture.size) <= 384

    assert stack.history(limit=1)[0]["task_id"] == generation.id
    assert stack.history(limit=1)[0]["images"] == [image]
    assert generation.renders() == 1
    assert stack.emulator.posts(generation.prompt_id) == 1


def test_its_flow_run_tells_the_operator_all_about_it(stack: Stack) -> None:
    def artifacts() -> dict[str | None, Artifact]:
        ours = ArtifactFilterFlowRunId(any_=[UUID(generation.flow_run_id())])
        found = stack.prefect.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ours))
        return {artifact.type: artifact for artifact in found}

    with stack.halfway("a lighthouse\nin a storm", seed=7) as generation:
        wait_until(lambda: "progress" in artifacts(), "the bar of what takes its time")
    resolved = generation.wait_for("succeeded")["request"]

    run = stack.wait_for_flow_run(generation.flow_run_id(), "Completed")
    assert run.name == generation.id
    assert set(run.tags) >= {"txt2img", resolved["model"], "interactive"}
    assert run.parameters["request"]["prompt"] == "a lighthouse\nin a storm"
    assert run.state is not None
    assert "seed 7" in (run.state.message or "")

    by_type = artifacts()
    assert set(by_type) >= {"progress", "image", "table"}
    assert by_type["progress"].data == 100
    assert generation.result()["outputs"][0]["url"] in str(by_type["image"].data)
    assert generation.id in str(by_type["table"].data)


def test_a_client_that_has_time_waits_in_the_request_itself(stack: Stack) -> None:
    answer = stack.api.post(
        f"{BASE}/create", json={"prompt": "a well", **SMALL}, headers={"Prefer": "wait=20"}
    )
    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"


def test_several_images_in_one_generation(stack: Stack) -> None:
    generation = stack.create("three kittens", batch_size=3)
    generation.wait_for("succeeded")
    images = generation.result()["images"]
    assert len({image["sha256"] for image in images}) == 3
    assert generation.renders() == 1
