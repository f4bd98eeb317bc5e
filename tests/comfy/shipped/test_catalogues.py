"""Each shipped workflow on the recorded versions of ComfyUI: valid, or missing known classes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import pytest
import pytest_asyncio

from comfy.nodes import NodeCatalogue
from comfy.shipped import SHIPPED
from comfy.workflows.imported import filled
from tests.comfy.shipped.reading import put_files, read
from tests.comfy.test_emulator import SLOW, Caller, calling

SWITCHES: Final = {"ComfySwitchNode", "ComfyMathExpression"}
LTX: Final = SWITCHES | {
    "LatentUpscaleModelLoader",
    "LTXAVTextEncoderLoader",
    "LTXVAudioVAEDecode",
    "LTXVAudioVAELoader",
    "LTXVConcatAVLatent",
    "LTXVEmptyLatentAudio",
    "LTXVImgToVideoInplace",
    "LTXVLatentUpsampler",
    "LTXVSeparateAVLatent",
    "ManualSigmas",
    "ResizeImageMaskNode",
    "TextGenerateLTX2Prompt",
}
SEEDVR2: Final = {"SeedVR2Conditioning", "SeedVR2PostProcessing", "SeedVR2Preprocess"}
CHUNKS: Final = {"SeedVR2TemporalChunk", "SeedVR2TemporalMerge"}
MINIMAX: Final = {"MiniMaxH3ImageToVideo"}
MISSING: Final[dict[str, dict[str, set[str]]]] = {
    "0.3.64": {
        "qwen-image-edit": {"ComfySwitchNode"},
        "flux2-klein-edit": {"EmptyFlux2LatentImage", "Flux2Scheduler"},
        "upscale": {*SEEDVR2, "ResizeImageMaskNode"},
        "remove-background": {"LoadBackgroundRemovalModel", "RemoveBackground"},
        "wan22-t2v": SWITCHES,
        "wan22-i2v": SWITCHES,
        "ltx23-t2v": LTX,
        "ltx23-i2v": LTX,
        "minimax-h3-t2v": {*MINIMAX, *SWITCHES, "ResolutionSelector"},
        "minimax-h3-i2v": {*MINIMAX, *SWITCHES, "ResolutionSelector"},
        "upscale-video": {
            *SEEDVR2,
            *CHUNKS,
            "ComfySwitchNode",
            "ResizeImageMaskNode",
            "Video Slice",
        },
        "ace-step15": {
            "EmptyAceStep1.5LatentAudio",
            "SaveAudioAdvanced",
            "TextEncodeAceStepAudio1.5",
        },
        "stable-audio": {
            *SWITCHES,
            "CustomCombo",
            "JsonExtractString",
            "SaveAudioAdvanced",
            "TextGenerate",
        },
    },
    "0.24": {
        "upscale": SEEDVR2,
        "minimax-h3-t2v": MINIMAX,
        "minimax-h3-i2v": MINIMAX,
        "upscale-video": SEEDVR2 | CHUNKS,
    },
    "0.33": {},
}
"""What each version lacks of each workflow; nothing of those that are not here."""
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(MISSING))
async def comfy(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Caller, NodeCatalogue]]:
    """A ComfyUI of each version that takes prompts and never ends one."""
    version: str = request.param
    options = replace(SLOW, any_model=True, comfyui_version=version)
    async with calling(options) as (emulator, caller):
        put_files(emulator.input_dir)
        _, told = await caller.get("/object_info")
        yield version, caller, NodeCatalogue.from_object_info(told)


@pytest.mark.parametrize("name", SHIPPED)
async def test_it_is_valid_or_lacks_what_is_known(
    comfy: tuple[str, Caller, NodeCatalogue], name: str
) -> None:
    version, caller, catalogue = comfy
    expected = MISSING[version].get(name, set())

    found = read(SHIPPED[name], catalogue)

    assert found.missing == expected
    graph = filled(found.workflow, found.values, "shipped", catalogue)
    status, answer = await caller.post("/prompt", {"prompt": graph})
    if expected:
        assert status == 400
        assert answer["error"]["type"] == "missing_node_type"
    else:
        assert (status, answer.get("node_errors")) == (200, {}), answer
        assert found.told == ()


async def test_nothing_else_is_named() -> None:
    named = {name for lacks in MISSING.values() for name in lacks}
    assert named <= set(SHIPPED)
