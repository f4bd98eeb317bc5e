"""What the emulator says of its nodes has the shape that was recorded from real servers."""

from __future__ import annotations

from typing import Any

import pytest

from comfy.emulator import EmulatorOptions

from .data import recorded_json
from .test_emulator import blank, calling, node

LEFT_OUT = {"output_tooltips", "essentials_category"}


def shape(info: dict[str, Any]) -> dict[str, Any]:
    """Kinds and names, without choices, numbers and sentences."""
    inputs = {
        group: {name: part(config) for name, config in members.items()}
        for group, members in info["input"].items()
    }
    kept = {name: info[name] for name in ("output", "output_name", "output_node")}
    return {"keys": sorted(info), "inputs": inputs, **kept}


def part(config: Any) -> Any:
    if isinstance(config, str):
        return config
    return [_part(item) for item in config]


def _part(item: Any) -> Any:
    if isinstance(item, list):
        return "choices"
    return sorted(item) if isinstance(item, dict) else item


@pytest.mark.parametrize("version", ["0.3.64", "0.24", "0.33"])
async def test_nodes_have_the_recorded_shape(version: str) -> None:
    recorded = recorded_json(f"node_shapes_{version}")
    for entry in recorded.values():
        entry["keys"] = sorted(set(entry["keys"]) - LEFT_OUT)
    async with calling(EmulatorOptions(comfyui_version=version)) as (_, caller):
        _, info = await caller.get("/object_info")
    assert {name: shape(info[name]) for name in recorded} == recorded


async def test_an_error_shows_the_input_with_its_tooltip() -> None:
    """nodes.py of 0.24.0: the config of an input is quoted whole."""
    graph = blank()
    graph["2"]["inputs"]["images"] = ["1"]
    async with calling() as (_, caller):
        _, refused = await caller.post("/prompt", {"prompt": graph})
    [error] = refused["node_errors"]["2"]["errors"]
    kind, options = error["extra_info"]["input_config"]
    assert kind == "IMAGE"
    assert set(options) == {"tooltip"}


@pytest.mark.parametrize("link", [["404", 0], ["1", 7]])
async def test_a_traceback_has_two_frames(link: list[Any]) -> None:
    """execution.py of 0.24.0 and 0.33.0: validate_prompt and validate_inputs, however deep."""
    graph = {**blank(), "3": node("ImageInvert", image=link), "4": blank()["2"]}
    graph["4"]["inputs"]["images"] = ["3", 0]
    async with calling() as (_, caller):
        _, refused = await caller.post("/prompt", {"prompt": graph})
    errors = [error for found in refused["node_errors"].values() for error in found["errors"]]
    frames = [error["extra_info"].get("traceback") for error in errors]
    assert [len(lines) for lines in frames if lines] == [2]


async def test_a_saved_image_is_passed_on_from_033_on() -> None:
    """nodes.py of 0.33.0."""
    graph = {**blank(), "3": node("ImageInvert", image=["2", 0])}
    graph["4"] = node("SaveImage", filename_prefix="again", images=["3", 0])
    async with calling() as (_, caller):
        assert (await caller.run(graph))["status"]["completed"] is True
    async with calling(EmulatorOptions(comfyui_version="0.24.0")) as (_, caller):
        status, dropped = await caller.post("/prompt", {"prompt": graph})
        assert status == 200  # for the other output is sound
        [error] = dropped["node_errors"]["3"]["errors"]
        assert error["details"] == "tuple index out of range"


async def test_lists_of_models() -> None:
    """folder_paths.py and nodes.py (VAELoader) of 0.33.0."""
    async with calling() as (_, caller):
        _, info = await caller.get("/object_info/VAELoader")
        assert info["VAELoader"]["input"]["required"]["vae_name"][0][-1] == "pixel_space"
        assert (await caller.get("/models/vae"))[1] == []  # for it is no file
        assert (await caller.get("/embeddings"))[1] == ["emulator-negative"]
        assert (await caller.get("/models/embeddings"))[1] == ["emulator-negative.safetensors"]
