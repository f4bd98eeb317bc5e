"""Files of every kind, under ComfyUI's own keys, made of all that they depend on."""

from __future__ import annotations

import copy
import json
import struct
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy.emulator import Emulator
from comfy.emulator.sounds import sound_file
from comfy.emulator.values import Sound

from .test_emulator import FAST, Caller, calling, node

ANY_MODEL = replace(FAST, any_model=True)
WORKFLOW = {"nodes": [], "version": 0.4}


@pytest.fixture
async def comfy() -> AsyncIterator[tuple[Emulator, Caller]]:
    async with calling(ANY_MODEL) as found:
        yield found


def sampler(**links: Any) -> dict[str, Any]:
    numbers = {"seed": 1, "steps": 2, "cfg": 5.0, "denoise": 1.0}
    return node("KSampler", sampler_name="euler", scheduler="simple", **numbers, **links)


def video(length: int = 9, save: dict[str, Any] | None = None) -> dict[str, Any]:
    size = {"width": 64, "height": 32, "length": length, "batch_size": 1}
    save = save or {"format": "auto", "format.codec": "auto"}
    return {
        "1": node("UNETLoader", unet_name="wan.safetensors", weight_dtype="default"),
        "2": node("CLIPLoader", clip_name="umt5.safetensors", type="wan"),
        "3": node("VAELoader", vae_name="wan_vae.safetensors"),
        "4": node("CLIPTextEncode", text="a cat", clip=["2", 0]),
        "5": node("CLIPTextEncode", text="bad", clip=["2", 0]),
        "6": node("ModelSamplingSD3", model=["1", 0], shift=8.0),
        "7": node("Wan22ImageToVideoLatent", vae=["3", 0], **size),
        "8": sampler(model=["6", 0], positive=["4", 0], negative=["5", 0], latent_image=["7", 0]),
        "9": node("VAEDecode", samples=["8", 0], vae=["3", 0]),
        "10": node("CreateVideo", images=["9", 0], fps=8.0),
        "11": node("SaveVideo", video=["10", 0], filename_prefix="video/x", **save),
    }


def audio(save: dict[str, Any], seconds: float = 1.0) -> dict[str, Any]:
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="ace.safetensors"),
        "2": node("TextEncodeAceStepAudio", clip=["1", 1], tags="a", lyrics="b", lyrics_strength=1),
        "3": node("ConditioningZeroOut", conditioning=["2", 0]),
        "4": node("EmptyAceStepLatentAudio", seconds=seconds, batch_size=1),
        "5": sampler(model=["1", 0], positive=["2", 0], negative=["3", 0], latent_image=["4", 0]),
        "6": node("VAEDecodeAudio", samples=["5", 0], vae=["1", 2]),
        "7": save,
    }


def shape() -> dict[str, Any]:
    return {
        "1": node("ImageOnlyCheckpointLoader", ckpt_name="3d.safetensors"),
        "2": node("EmptyImage", width=16, height=16, batch_size=1, color=7),
        "3": node("CLIPVisionEncode", clip_vision=["1", 1], image=["2", 0], crop="center"),
        "4": node("Hunyuan3Dv2Conditioning", clip_vision_output=["3", 0]),
        "5": node("EmptyLatentHunyuan3Dv2", resolution=3072, batch_size=1),
        "6": sampler(model=["1", 0], positive=["4", 0], negative=["4", 1], latent_image=["5", 0]),
        "7": node(
            "VAEDecodeHunyuan3D",
            samples=["6", 0],
            vae=["1", 2],
            num_chunks=8000,
            octree_resolution=256,
        ),
        "8": node("VoxelToMesh", voxel=["7", 0], algorithm="surface net", threshold=0.6),
        "9": node("SaveGLB", mesh=["8", 0], filename_prefix="3d/m"),
    }


async def outputs(caller: Caller, graph: dict[str, Any]) -> dict[str, Any]:
    entry = await caller.run(graph, extra_data={"extra_pnginfo": {"workflow": WORKFLOW}})
    assert entry["status"]["completed"] is True, entry["status"]
    found: dict[str, Any] = entry["outputs"]
    return found


def path_of(emulator: Emulator, file: dict[str, Any]) -> Path:
    assert file["type"] == "output"
    return emulator.output_dir / str(file["subfolder"]) / str(file["filename"])


async def test_a_video_has_its_frames_its_rate_and_its_graph(
    comfy: tuple[Emulator, Caller],
) -> None:
    av = pytest.importorskip("av")
    emulator, caller = comfy
    shown = (await outputs(caller, video()))["11"]
    assert shown["animated"] == [True]
    [file] = shown["images"]
    assert file == {"filename": "x_00001_.mp4", "subfolder": "video", "type": "output"}
    with av.open(str(path_of(emulator, file))) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.frames) == (64, 32, 9)
        assert float(stream.average_rate) == 8.0
        assert json.loads(container.metadata["prompt"])["11"]["class_type"] == "SaveVideo"
        assert json.loads(container.metadata["workflow"]) == WORKFLOW


@pytest.mark.parametrize("form", ["webm", "mkv"])
async def test_a_video_in_another_container(comfy: tuple[Emulator, Caller], form: str) -> None:
    av = pytest.importorskip("av")
    emulator, caller = comfy
    graph = video(save={"format": form, "format.codec": "auto"})
    [file] = (await outputs(caller, graph))["11"]["images"]
    assert file["filename"] == f"x_00001_.{form}"
    with av.open(str(path_of(emulator, file))) as container:
        assert sum(1 for _ in container.decode(video=0)) == 9


@pytest.mark.parametrize(
    ("node_id", "name", "value"),
    [
        ("1", "unet_name", "other.safetensors"),
        ("1", "weight_dtype", "fp8_e5m2"),
        ("2", "clip_name", "other.safetensors"),
        ("3", "vae_name", "other.safetensors"),
        ("4", "text", "a dog"),
        ("5", "text", "worse"),
        ("6", "shift", 5.0),
        ("7", "width", 96),
        ("7", "length", 5),
        ("8", "seed", 2),
        ("8", "steps", 3),
        ("8", "cfg", 6.0),
        ("8", "sampler_name", "heun"),
        ("8", "scheduler", "normal"),
        ("8", "denoise", 0.9),
        ("10", "fps", 12.0),
    ],
)
async def test_each_input_counts(
    comfy: tuple[Emulator, Caller], node_id: str, name: str, value: Any
) -> None:
    pytest.importorskip("av")
    emulator, caller = comfy
    graph = video()
    [before] = (await outputs(caller, graph))["11"]["images"]
    changed = copy.deepcopy(graph)
    changed[node_id]["inputs"][name] = value
    [after] = (await outputs(caller, changed))["11"]["images"]
    assert _decoded(path_of(emulator, before)) != _decoded(path_of(emulator, after))


def _decoded(path: Path) -> list[bytes]:
    """Frames with their times."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return [
            f"{frame.time} {frame.width}".encode() + frame.to_image().tobytes()
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize(
    ("save", "name", "codec"),
    [
        (node("SaveAudio"), "a_00001.flac", "flac"),
        (node("SaveAudioMP3", quality="V0"), "a_00001.mp3", "mp3float"),
        (
            node("SaveAudioAdvanced", format="opus", **{"format.quality": "64k"}),
            "a_00001.opus",
            "opus",
        ),
    ],
)
async def test_sounds(
    comfy: tuple[Emulator, Caller], save: dict[str, Any], name: str, codec: str
) -> None:
    av = pytest.importorskip("av")
    emulator, caller = comfy
    save["inputs"] |= {"audio": ["6", 0], "filename_prefix": "audio/a"}
    [file] = (await outputs(caller, audio(save)))["7"]["audio"]
    assert (file["filename"], file["subfolder"]) == (name, "audio")
    with av.open(str(path_of(emulator, file))) as container:
        assert container.streams.audio[0].codec_context.name == codec
        assert container.duration == pytest.approx(1_000_000, rel=0.1)


async def test_an_older_one_names_sounds_as_it_names_pictures() -> None:
    pytest.importorskip("av")
    save = node("SaveAudio", audio=["6", 0], filename_prefix="a")
    async with calling(replace(ANY_MODEL, comfyui_version="0.3.64")) as (_, caller):
        [file] = (await outputs(caller, audio(save)))["7"]["audio"]
    assert file["filename"] == "a_00001_.flac"


@pytest.mark.parametrize(
    ("save", "name", "form"),
    [
        (
            node("SaveAnimatedWEBP", fps=6.0, lossless=False, quality=80, method="fastest"),
            "a_00001_.webp",
            "WEBP",
        ),
        (node("SaveAnimatedPNG", fps=6.0, compress_level=4), "a_00001_.png", "PNG"),
    ],
)
async def test_animations(
    comfy: tuple[Emulator, Caller], save: dict[str, Any], name: str, form: str
) -> None:
    emulator, caller = comfy
    graph = {key: part for key, part in video(5).items() if key not in ("10", "11")}
    save["inputs"] |= {"images": ["9", 0], "filename_prefix": "a"}
    shown = (await outputs(caller, {**graph, "12": save}))["12"]
    assert shown["animated"] == [True]
    [file] = shown["images"]
    assert file["filename"] == name
    path = path_of(emulator, file)
    with Image.open(path) as picture:
        assert (picture.format, picture.size, frames_of(picture)) == (form, (64, 32), 5)
        if form == "WEBP":
            assert picture.getexif()[0x010F] == f"workflow:{json.dumps(WORKFLOW)}"
    assert form == "WEBP" or b"workflow\0" + json.dumps(WORKFLOW).encode() in path.read_bytes()


def frames_of(picture: Image.Image) -> int:
    return int(getattr(picture, "n_frames", 1))


async def test_a_shape_is_a_valid_binary_gltf(comfy: tuple[Emulator, Caller]) -> None:
    emulator, caller = comfy
    [file] = (await outputs(caller, shape()))["9"]["3d"]
    assert (file["filename"], file["subfolder"]) == ("m_00001_.glb", "3d")
    content = path_of(emulator, file).read_bytes()
    magic, version, length = struct.unpack("<4sII", content[:12])
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack("<I4s", content[12:20])
    document = json.loads(content[20 : 20 + size])
    assert kind == b"JSON"
    assert document["accessors"][0]["count"] == 12
    changed = shape()
    changed["2"]["inputs"]["color"] = 8
    [other] = (await outputs(caller, changed))["9"]["3d"]
    assert path_of(emulator, other).read_bytes() != content


async def test_texts(comfy: tuple[Emulator, Caller]) -> None:
    emulator, caller = comfy
    graph = {
        "1": node("PrimitiveInt", value=3),
        "2": node("ComfyMathExpression", expression="max(a, 2) * 2 + 1", **{"values.a": ["1", 0]}),
        "3": node("StringConcatenate", string_a="seven: ", string_b=["4", 0], delimiter=""),
        "4": node("PreviewAny", source=["2", 1]),
        "5": node("SaveText", text=["3", 0], filename_prefix="notes/t", format="md"),
    }
    shown = await outputs(caller, graph)
    assert shown["4"] == {"text": ["7"]}
    assert shown["5"]["text"] == ["seven: 7"]
    [file] = shown["5"]["files"]
    assert file["filename"] == "t_00001.md"
    assert path_of(emulator, file).read_text() == "seven: 7"


async def test_a_sampler_of_sigmas_makes_their_steps(comfy: tuple[Emulator, Caller]) -> None:
    _, caller = comfy
    graph = {
        "1": node("UNETLoader", unet_name="flux2.safetensors", weight_dtype="default"),
        "2": node("CLIPLoader", clip_name="mistral.safetensors", type="flux2"),
        "3": node("CLIPTextEncode", text="a fox", clip=["2", 0]),
        "4": node("BasicGuider", model=["1", 0], conditioning=["3", 0]),
        "5": node("RandomNoise", noise_seed=5),
        "6": node("KSamplerSelect", sampler_name="euler"),
        "7": node("Flux2Scheduler", steps=6, width=64, height=64),
        "8": node("SplitSigmas", sigmas=["7", 0], step=2),
        "9": node("EmptyFlux2LatentImage", width=64, height=64, batch_size=2),
        "10": node(
            "SamplerCustomAdvanced",
            noise=["5", 0],
            guider=["4", 0],
            sampler=["6", 0],
            sigmas=["8", 1],
            latent_image=["9", 0],
        ),
        "11": node("VAELoader", vae_name="flux2-vae.safetensors"),
        "12": node("VAEDecode", samples=["10", 0], vae=["11", 0]),
        "13": node("SaveImage", images=["12", 0], filename_prefix="f"),
    }
    async with caller.http.ws_connect("/ws?clientId=me") as socket:
        seen = await caller.run_and_listen(socket, graph, "me")
    steps = [(data["value"], data["max"]) for kind, data in seen if kind == "progress"]
    assert steps[0] == (1, 4)
    assert steps[-1] == (4, 4)
    [shown] = [data["output"] for kind, data in seen if kind == "executed"]
    assert len(shown["images"]) == 2


async def test_without_pyav_the_node_says_what_is_missing(
    comfy: tuple[Emulator, Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, caller = comfy
    monkeypatch.setitem(sys.modules, "av", None)
    entry = await caller.run(video())
    kind, data = entry["status"]["messages"][-1]
    assert (kind, data["node_type"]) == ("execution_error", "SaveVideo")
    assert data["exception_message"] == "the emulator needs PyAV for video: pip install av\n"


def edit(prefix: str) -> dict[str, Any]:
    return {
        "1": node("UNETLoader", unet_name="qwen_edit.safetensors", weight_dtype="default"),
        "2": node("CLIPLoader", clip_name="qwen.safetensors", type="qwen_image"),
        "3": node("VAELoader", vae_name="qwen_vae.safetensors"),
        "4": node("LoadImage", image="in.png"),
        "5": node("FluxKontextImageScale", image=["4", 0]),
        "6": node(
            "TextEncodeQwenImageEditPlus",
            clip=["2", 0],
            prompt="make it red",
            vae=["3", 0],
            image1=["5", 0],
        ),
        "7": node("ConditioningZeroOut", conditioning=["6", 0]),
        "8": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        "9": sampler(model=["1", 0], positive=["6", 0], negative=["7", 0], latent_image=["8", 0]),
        "10": node("VAEDecode", samples=["9", 0], vae=["3", 0]),
        "11": node("SaveImage", images=["10", 0], filename_prefix=prefix),
    }


async def test_an_upload_counts_by_its_pixels(comfy: tuple[Emulator, Caller]) -> None:
    emulator, caller = comfy
    seen = []
    for number, color in enumerate((1, 1, 2)):
        Image.new("RGB", (32, 32), (color, 0, 0)).save(emulator.input_dir / "in.png")
        [file] = (await outputs(caller, edit(f"e{number}")))["11"]["images"]
        with Image.open(path_of(emulator, file)) as picture:
            assert picture.size == (64, 64)
            seen.append(picture.tobytes())
    assert seen[0] == seen[1]
    assert seen[1] != seen[2]


async def test_a_video_and_a_sound_that_were_sent(comfy: tuple[Emulator, Caller]) -> None:
    av = pytest.importorskip("av")
    emulator, caller = comfy
    made = (await outputs(caller, video()))["11"]["images"][0]
    (emulator.input_dir / "in.mp4").write_bytes(path_of(emulator, made).read_bytes())
    (emulator.input_dir / "in.wav").write_bytes(sound_file(Sound("a", 3.0), "wav", {}))
    graph = {
        "1": node("LoadVideo", file="in.mp4"),
        "2": node("GetVideoComponents", video=["1", 0]),
        "3": node("ImageInvert", image=["2", 0]),
        "4": node("LoadAudio", audio="in.wav"),
        "5": node("CreateVideo", images=["3", 0], fps=["2", 2], audio=["4", 0]),
        "6": node(
            "SaveVideo",
            video=["5", 0],
            filename_prefix="again",
            format="mp4",
            **{"format.codec": "auto"},
        ),
    }
    [file] = (await outputs(caller, graph))["6"]["images"]
    with av.open(str(path_of(emulator, file))) as container:
        stream = container.streams.video[0]
        assert (stream.frames, float(stream.average_rate)) == (9, 8.0)
        assert container.streams.audio[0].codec_context.name == "aac"
