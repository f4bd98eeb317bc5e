"""What a ComfyUI says of its model files, and what is taken of it when that is nonsense."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comfy import ComfyClient, ComfyProtocolError, ComfyUnreachableError
from comfy.emulator import Emulator
from comfy.model_files import (
    FILES_MAX,
    FOLDERS_MAX,
    PLACES_MAX,
    ListedFile,
    file_metadata,
    model_files,
    model_folders,
)
from tests.harness.liar import Liar, says

from .families.files import safetensors
from .test_emulator import FAST

FOLDERS = "GET /experiment/models"
LORAS = "GET /experiment/models/loras"
METADATA = "GET /view_metadata/loras"


@asynccontextmanager
async def lying(**answers: Any) -> AsyncIterator[ComfyClient]:
    """A client of what answers so: texts as they are, all else as JSON."""
    told = {
        {"folders": FOLDERS, "loras": LORAS, "metadata": METADATA}.get(name, name): says(
            answer if isinstance(answer, str) else json.dumps(answer)
        )
        for name, answer in answers.items()
    }
    async with Liar(told) as liar:
        client = ComfyClient(liar.url)
        try:
            yield client
        finally:
            await client.aclose()


@asynccontextmanager
async def over(root: Path) -> AsyncIterator[ComfyClient]:
    async with Emulator(replace(FAST, models_dir=root)) as emulator:
        client = ComfyClient(emulator.url)
        try:
            yield client
        finally:
            await client.aclose()


async def test_folders_files_and_metadata_of_real_files(tmp_path: Path) -> None:
    (tmp_path / "loras/styles & more").mkdir(parents=True)
    (tmp_path / "diffusion_models").mkdir()
    file = tmp_path / "loras/styles & more/ink #1.safetensors"
    file.write_bytes(safetensors({}, {"ss_base_model_version": "sdxl_base_v1-0"}))
    (tmp_path / "diffusion_models/a.safetensors").write_bytes(b"abc")
    async with over(tmp_path) as client:
        folders = await model_folders(client)
        assert folders["loras"] == (str(tmp_path / "loras"),)
        about = file.stat()
        name = "styles & more/ink #1.safetensors"
        listed = ListedFile(name, 0, about.st_size, about.st_mtime)
        assert await model_files(client, "loras", folders) == (listed,)
        [model] = await model_files(client, "diffusion_models", folders)
        assert (model.place, model.size) == (1, 3)
        assert await model_files(client, "no_such_folder", folders) == ()
        assert await file_metadata(client, "loras", name) == {
            "ss_base_model_version": "sdxl_base_v1-0"
        }
        assert await file_metadata(client, "loras", "nope.safetensors") is None
        # ComfyUI fails on a malformed header, which is not its connection's fault.
        assert await file_metadata(client, "diffusion_models", "a.safetensors") is None


async def test_a_comfyui_without_these_routes_lists_names_only() -> None:
    async with lying(**{"GET /models/loras": ["b.safetensors", "a.safetensors"]}) as client:
        assert await model_folders(client) == {}
        found = await model_files(client, "loras", {})
        assert found == (ListedFile("a.safetensors"), ListedFile("b.safetensors"))
        assert await file_metadata(client, "loras", "a.safetensors") is None


async def test_gguf_files_are_listed_where_the_pack_says_them() -> None:
    answers = {
        "GET /experiment/models/diffusion_models": [{"name": "a.safetensors", "size": 1}],
        "GET /models/unet_gguf": ["b.gguf", "a.gguf"],
        "GET /models/clip_gguf": ["t5.gguf"],
        "GET /experiment/models/text_encoders": [],
    }
    async with lying(**answers) as client:
        folders = {"unet_gguf": ("/m",), "clip_gguf": ("/m",)}
        found = await model_files(client, "diffusion_models", folders)
        assert [one.name for one in found] == ["a.gguf", "a.safetensors", "b.gguf"]
        assert await model_files(client, "text_encoders", folders) == (ListedFile("t5.gguf"),)
        assert await model_files(client, "text_encoders", {}) == ()


async def test_of_two_places_with_one_name_the_first_counts() -> None:
    told = [{"name": "a", "pathIndex": 0, "size": 1}, {"name": "a", "pathIndex": 1, "size": 2}]
    async with lying(loras=told) as client:
        assert await model_files(client, "loras", {}) == (ListedFile("a", 0, 1),)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, {}),
        ("null", {}),
        ([None, 1, "a", [], {}, {"name": 1, "folders": []}, {"name": "a", "folders": 1}], {}),
        ([{"name": "a\nb", "folders": ["/x"]}, {"name": "", "folders": []}], {}),
        ([{"name": "a", "folders": ["/x", 1, None, "", "y\0", "z" * 5000]}], {"a": ("/x",)}),
        ([{"name": "a", "folders": ["/x"] * 1000}], {"a": ("/x",) * PLACES_MAX}),
    ],
)
async def test_folders_that_make_no_sense_are_left_out(told: Any, expected: Any) -> None:
    async with lying(folders=told) as client:
        assert await model_folders(client) == expected


async def test_only_so_many_folders_and_files_are_read() -> None:
    folders = [{"name": f"f{number}", "folders": []} for number in range(FOLDERS_MAX + 5)]
    files = [{"name": f"f{number:06}", "size": 1} for number in range(FILES_MAX + 5)]
    async with lying(folders=folders, loras=files) as client:
        assert len(await model_folders(client)) == FOLDERS_MAX
        found = await model_files(client, "loras", {})
        assert len(found) == FILES_MAX
        assert found[-1].name == f"f{FILES_MAX - 1:06}"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('{"name": 1}', None),
        ('{"name": ""}', None),
        ('{"name": "a\\nb"}', None),
        ('{"name": "\\ud800.safetensors"}', None),
        (json.dumps({"name": "a" * 256}), None),
        ("[]", None),
        ('{"name": "a", "size": -1}', ListedFile("a")),
        ('{"name": "a", "size": true}', ListedFile("a")),
        ('{"name": "a", "size": "1"}', ListedFile("a")),
        ('{"name": "a", "size": 1e400}', ListedFile("a")),
        ('{"name": "a", "size": 9007199254740993}', ListedFile("a")),
        ('{"name": "a", "modified": NaN}', ListedFile("a")),
        ('{"name": "a", "pathIndex": -1}', ListedFile("a")),
        ('{"name": "a", "pathIndex": 50}', ListedFile("a")),
        ('{"name": "a", "pathIndex": 1.5}', ListedFile("a")),
        ('{"name": "a", "modified": 1.5, "size": 2}', ListedFile("a", None, 2, 1.5)),
    ],
)
async def test_an_entry_that_makes_no_sense(entry: str, expected: ListedFile | None) -> None:
    async with lying(loras=f'[{entry}, {{"name": "z"}}]') as client:
        found = await model_files(client, "loras", {})
        assert found == (*([expected] if expected else []), ListedFile("z"))


@pytest.mark.parametrize("told", ["", "{", "<html>", "[" * 100_000, "1" * 5000])
async def test_what_is_no_json_is_no_answer(told: str) -> None:
    async with lying(folders=told, loras=told, metadata=told) as client:
        with pytest.raises(ComfyProtocolError):
            await model_folders(client)
        with pytest.raises(ComfyProtocolError):
            await model_files(client, "loras", {})
        assert await file_metadata(client, "loras", "a.safetensors") is None


async def test_metadata_are_texts_only() -> None:
    async with lying(metadata={"a": "b", "c": 1, "d": {"e": "f"}, "g": None}) as client:
        assert await file_metadata(client, "loras", "a.safetensors") == {"a": "b"}
    async with lying(metadata={f"{number}": "" for number in range(5000)}) as client:
        assert len(await file_metadata(client, "loras", "a.safetensors") or ()) == 2000
    async with lying(metadata=["a"]) as client:
        assert await file_metadata(client, "loras", "a.safetensors") is None


async def test_a_comfyui_that_is_away_has_said_nothing() -> None:
    async with lying() as client:
        pass
    gone = ComfyClient(client.base_url)
    for asking in (
        model_folders(gone),
        model_files(gone, "loras", {}),
        file_metadata(gone, "loras", "a"),
    ):
        with pytest.raises(ComfyUnreachableError):
            await asking
    await gone.aclose()
