"""Model files: the worker of a whole Easel finds out what they are, and the owner corrects it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.comfy.families.files import SD15, SDXL, prefixed, safetensors
from tests.harness.processes import Process
from tests.harness.shared_stack import shared
from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey
MODELS = "/api/v1/models"


class RealFilesStack(Stack):
    """Its ComfyUI has real model files."""

    def _part(self, name: str, *arguments: str, **more: str) -> Process:
        extra = ("--models-dir", str(self.models)) if name == "comfyui" else ()
        return super()._part(name, *arguments, *extra, **more)

    @property
    def models(self) -> Path:
        return self.home.parent / "model_files"


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, prefect_database: Path, pytestconfig: pytest.Config
) -> Iterator[RealFilesStack]:
    stack = RealFilesStack(tmp_path_factory.mktemp("models"), prefect_database)
    for folder, name, content in (
        ("checkpoints", "emulator-sd15.safetensors", prefixed("model.diffusion_model.", SD15)),
        ("checkpoints", "mystery.safetensors", prefixed("model.diffusion_model.", SDXL)),
    ):
        (stack.models / folder).mkdir(parents=True, exist_ok=True)
        (stack.models / folder / name).write_bytes(safetensors(content))
    with shared(stack, pytestconfig):
        yield stack


def _file(stack: Stack, name: str) -> dict[str, Any]:
    found = stack.api.get(MODELS, params={"folder": "checkpoints"}).json()["models"]
    (file,) = [one for one in found if one["name"] == name]
    assert isinstance(file, dict)
    return file


def test_the_worker_says_what_files_are_and_the_owner_has_the_last_word(
    stack: RealFilesStack,
) -> None:
    name = "mystery.safetensors"
    wait_until(lambda: _file(stack, name)["reason"] == "header", within=120)
    found = _file(stack, name)
    assert found["family"] == "sdxl"
    assert len(found["workers"]) == 1

    said = stack.api.put(f"{MODELS}/checkpoints/{name}", json={"family": "sdxl-lightning"})
    assert said.status_code == 200, said.text
    found = _file(stack, name)
    assert (found["family"], found["reason"]) == ("sdxl-lightning", "setting")
    assert found["defaults"]["steps"] == 8
