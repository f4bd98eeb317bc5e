"""Workflows that somebody brings: from a file to what they give, alone and in batches."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.service import CHECKPOINTS
from tests.api.test_workflow_import import PAGE
from tests.harness.batches import BATCHES
from tests.harness.generations import BASE
from tests.harness.processes import Process
from tests.harness.shared_stack import shared
from tests.harness.stack import Stack

pytestmark = pytest.mark.journey
WORKFLOWS = "/api/v1/workflows"


class AnyModelStack(Stack):
    """Its ComfyUI has every model file, whatever its name."""

    def _part(self, name: str, *arguments: str, **more: str) -> Process:
        extra = ("--any-model",) if name == "comfyui" else ()
        return super()._part(name, *arguments, *extra, **more)


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, prefect_database: Path, pytestconfig: pytest.Config
) -> Iterator[Stack]:
    stack = AnyModelStack(tmp_path_factory.mktemp("workflows"), prefect_database)
    with shared(stack, pytestconfig):
        yield stack


def _added(stack: Stack, content: bytes, **query: str) -> dict[str, Any]:
    answer = stack.api.post(WORKFLOWS, content=content, params=query)
    assert answer.status_code == 201, answer.text
    declaration: dict[str, Any] = answer.json()["declaration"]
    assert declaration["state"] == "ready", declaration["lacks"]
    return declaration


def _made(stack: Stack, workflow: str, **inputs: Any) -> list[dict[str, Any]]:
    created = stack.api.post(f"{BASE}/create", json={"workflow": workflow, "inputs": inputs})
    assert created.status_code == 202, created.text
    generation = stack.generation(created.json()["task_id"])
    generation.wait_for("succeeded")
    outputs: list[dict[str, Any]] = generation.result()["outputs"]
    return outputs


def test_a_workflow_of_the_page_gives_images_alone_and_in_a_batch(stack: Stack) -> None:
    file = json.dumps(PAGE).replace(CHECKPOINTS[0], "emulator-sd15.safetensors")
    one = _added(stack, file.encode(), name="from-the-page")

    small = {"width": 64, "height": 64, "steps": 2}
    [image] = _made(stack, one["name"], prompt="an owl", **small)

    assert image["kind"] == "image"
    answer = stack.api.get(image["url"])
    assert answer.headers["Content-Type"] == "image/png"
    rows = "prompt,width,height,steps\na fox,64,64,1\nan owl,64,64,1\na heron,64,64,1\n"
    created = stack.api.post(
        BATCHES,
        params={"workflow": one["name"]},
        content=rows.encode(),
        headers={"Content-Type": "text/csv"},
    )
    assert created.status_code == 202, created.text
    batch = stack.batch(created.json()["batch_id"])
    assert batch.wait_for("succeeded")["counts"]["succeeded"] == 3
    assert len(stack.history(workflow=one["name"])) == 4


@pytest.mark.skipif(
    importlib.util.find_spec("comfyui_workflow_templates_json") is None
    or importlib.util.find_spec("av") is None,
    reason="the official templates' package or PyAV is not installed",
)
def test_an_official_template_gives_a_video(stack: Stack) -> None:
    one = _added(
        stack, json.dumps({"source": "template:video_wan2_2_5B_ti2v"}).encode(), name="wan"
    )
    assert one["kind"] == "video"
    sizes = {one["roles"][role]: 64 for role in ("width", "height")}
    length = {one["roles"]["length"]: 5} if "length" in one["roles"] else {}

    outputs = _made(stack, one["name"], prompt="a red fox runs", **sizes, **length)

    assert [each["kind"] for each in outputs] == ["video"]
    video = stack.api.get(outputs[0]["url"], headers={"Range": "bytes=0-11"})
    assert video.status_code == 206
    assert video.content[4:8] == b"ftyp"
    [item] = stack.history(workflow=one["name"])
    assert item["request"]["prompt"] == "a red fox runs"
    assert [each["kind"] for each in item["outputs"]] == ["video"]
