"""An emulator over a folder of real model files: app/model_manager.py, server.py (view_metadata)
and folder_paths.py of ComfyUI 0.33.0."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comfy.emulator import EmulatorOptions
from comfy.emulator.__main__ import options

from .families.files import safetensors
from .test_emulator import FAST, calling

TOLD = {"modelspec.architecture": "stable-diffusion-v1/lora"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("checkpoints", "loras/styles", "loras/.hidden", "unet", "diffusion_models"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def over(root: Path) -> EmulatorOptions:
    return replace(FAST, models_dir=root)


def put(path: Path, content: bytes = b"x") -> Path:
    path.write_bytes(content)
    return path


async def test_the_files_are_what_is_in_the_folder(root: Path) -> None:
    put(root / "checkpoints/real.safetensors")
    put(root / "checkpoints/notes.txt")
    put(root / "loras/styles/ink.SAFETENSORS")
    put(root / "unet/old.sft")
    put(root / "diffusion_models/new.safetensors")
    async with calling(over(root)) as (_, caller):
        assert (await caller.get("/models/checkpoints"))[1] == ["real.safetensors"]
        assert (await caller.get("/models/loras"))[1] == ["styles/ink.SAFETENSORS"]
        assert (await caller.get("/models/diffusion_models"))[1] == ["new.safetensors", "old.sft"]
        assert (await caller.get("/models/vae"))[1] == []
        _, info = await caller.get("/object_info/LoraLoader")
        [names, *_] = info["LoraLoader"]["input"]["required"]["lora_name"]
        assert names == ["styles/ink.SAFETENSORS"]
        put(root / "checkpoints/later.ckpt")
        assert (await caller.get("/models/checkpoints"))[1] == ["later.ckpt", "real.safetensors"]


async def test_embeddings_go_without_their_endings(root: Path) -> None:
    (root / "embeddings").mkdir()
    put(root / "embeddings/easy.negative.pt")
    async with calling(over(root)) as (_, caller):
        assert await caller.get("/embeddings") == (200, ["easy.negative"])


async def test_a_folder_says_where_each_file_is_how_large_and_how_old(root: Path) -> None:
    file = put(root / "loras/styles/ink.safetensors", b"four")
    put(root / "loras/.hidden/a.safetensors")
    put(root / "loras/.b.safetensors")
    put(root / "diffusion_models/new.safetensors")
    about = file.stat()
    async with calling(over(root)) as (_, caller):
        _, told = await caller.get("/experiment/models")
        places = {folder["name"]: folder["folders"] for folder in told}
        assert places["loras"] == [str(root / "loras")]
        assert places["diffusion_models"] == [str(root / "unet"), str(root / "diffusion_models")]
        assert await caller.get("/experiment/models/loras") == (
            200,
            [
                {
                    "name": "styles/ink.safetensors",
                    "pathIndex": 0,
                    "modified": about.st_mtime,
                    "created": about.st_ctime,
                    "size": 4,
                }
            ],
        )
        _, [model] = await caller.get("/experiment/models/diffusion_models")
        assert (model["name"], model["pathIndex"]) == ("new.safetensors", 1)


async def test_what_a_file_says_of_itself(root: Path) -> None:
    put(root / "loras/styles/ink.safetensors", safetensors({}, TOLD))
    put(root / "unet/old.safetensors", safetensors({}, TOLD))
    async with calling(over(root)) as (_, caller):
        for folder, name in (
            ("loras", "styles/ink.safetensors"),
            ("loras", "../../styles/ink.safetensors"),  # os.path.relpath: never above the folder
            ("diffusion_models", "old.safetensors"),
            ("unet", "old.safetensors"),
        ):
            assert await caller.get(f"/view_metadata/{folder}", filename=name) == (200, TOLD)


def _large(size: int) -> bytes:
    """A header of that many bytes."""
    text = json.dumps({"__metadata__": {"a": ""}})
    return size.to_bytes(8, "little") + text.replace('""', f'"{"b" * (size - len(text))}"').encode()


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("a.safetensors", _large(2**20), 200),
        ("a.safetensors", _large(2**20 + 1), 404),
        ("a.safetensors", safetensors({"a": (1,)}), 404),
        ("a.ckpt", safetensors({}, TOLD), 404),
        ("a.sft", safetensors({}, TOLD), 404),
        ("a.safetensors", b"short", 500),
        ("a.safetensors", b"\x05\0\0\0\0\0\0\0{{{{{", 500),
    ],
)
async def test_what_is_told_of_which_header(
    root: Path, name: str, content: bytes, status: int
) -> None:
    put(root / "loras" / name, content)
    async with calling(over(root)) as (_, caller):
        found, _ = await caller.get("/view_metadata/loras", filename=name)
        assert found == status


@pytest.mark.parametrize(
    ("folder", "params"),
    [
        ("loras", {}),
        ("loras", {"filename": "nope.safetensors"}),
        ("loras", {"filename": "../secret.safetensors"}),
        ("loras", {"filename": "styles"}),
        ("nope", {"filename": "a.safetensors"}),
    ],
)
async def test_nothing_is_said_of_what_is_not_there(
    root: Path, folder: str, params: dict[str, Any]
) -> None:
    put(root / "secret.safetensors", safetensors({}, TOLD))
    async with calling(over(root)) as (_, caller):
        assert (await caller.get(f"/view_metadata/{folder}", **params))[0] == 404


def test_the_command_takes_the_folder(tmp_path: Path) -> None:
    assert options(["--models-dir", str(tmp_path)]).models_dir == tmp_path
    assert options([]).models_dir is None
