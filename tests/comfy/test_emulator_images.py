"""Pictures and masks are really worked on, and only the chosen branch of a switch runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from comfy.emulator import Emulator, EmulatorOptions
from comfy.emulator.masks import grown
from comfy.emulator.primitives import calculated

from .test_emulator import FAST, Caller, calling, node, txt2img


@pytest.fixture
async def comfy() -> AsyncIterator[tuple[Emulator, Caller]]:
    async with calling(replace(FAST, any_model=True)) as found:
        yield found


def quarters(size: int = 64) -> Image.Image:
    """Red, and green in the upper left quarter, which is transparent."""
    picture = Image.new("RGBA", (size, size), (255, 0, 0, 255))
    picture.paste((0, 255, 0, 0), (0, 0, size // 2, size // 2))
    return picture


def put(emulator: Emulator, picture: Image.Image, name: str = "q.png") -> None:
    picture.save(emulator.input_dir / name)


async def picture_of(found: tuple[Emulator, Caller], graph: dict[str, Any]) -> Image.Image:
    """The one picture that node `out` saves."""
    emulator, caller = found
    entry = await caller.run(graph)
    assert entry["status"]["completed"] is True, entry["status"]
    [file] = entry["outputs"]["out"]["images"]
    with Image.open(emulator.output_dir / file["filename"]) as picture:
        return picture.convert("RGB")


def saved(graph: dict[str, Any], source: str, slot: int = 0) -> dict[str, Any]:
    return {**graph, "out": node("SaveImage", filename_prefix="o", images=[source, slot])}


LOADED = {"in": node("LoadImage", image="q.png")}
CROP = {"width": 16, "height": 8, "x": 40, "y": 0}
PAD = {"left": 0, "top": 8, "right": 16, "bottom": 0, "feathering": 0}


@pytest.mark.parametrize(
    ("change", "size", "at", "color"),
    [
        (node("ImageCrop", image=["in", 0], **CROP), (16, 8), (0, 0), (255, 0, 0)),
        (
            node("ImageScaleBy", image=["in", 0], upscale_method="nearest-exact", scale_by=0.5),
            (32, 32),
            (20, 4),
            (255, 0, 0),
        ),
        (
            node(
                "ImageScaleToTotalPixels",
                image=["in", 0],
                upscale_method="area",
                megapixels=0.01,
                resolution_steps=8,
            ),
            (104, 104),
            (80, 80),
            (255, 0, 0),
        ),
        (
            node(
                "ResizeImageMaskNode",
                input=["in", 0],
                resize_type="scale longer dimension",
                scale_method="area",
                **{"resize_type.longer_size": 32},
            ),
            (32, 32),
            (24, 24),
            (255, 0, 0),
        ),
        (node("ImageInvert", image=["in", 0]), (64, 64), (40, 40), (0, 255, 255)),
        (node("ImagePadForOutpaint", image=["in", 0], **PAD), (80, 72), (70, 70), (128, 128, 128)),
        (
            node("ImageFlip", image=["in", 0], flip_method="y-axis: horizontally"),
            (64, 64),
            (60, 4),
            (0, 255, 0),
        ),
        (
            node("ImageRotate", image=["in", 0], rotation="90 degrees"),
            (64, 64),
            (60, 4),
            (0, 255, 0),
        ),
        (
            node(
                "ImageStitch",
                image1=["in", 0],
                image2=["in", 0],
                direction="right",
                match_image_size=True,
                spacing_width=0,
                spacing_color="white",
            ),
            (128, 64),
            (70, 4),
            (0, 255, 0),
        ),
    ],
    ids=lambda part: part["class_type"] if isinstance(part, dict) else "",
)
async def test_pictures_are_really_changed(
    comfy: tuple[Emulator, Caller],
    change: dict[str, Any],
    size: tuple[int, int],
    at: tuple[int, int],
    color: tuple[int, int, int],
) -> None:
    put(comfy[0], quarters())
    picture = await picture_of(comfy, saved({**LOADED, "do": change}, "do"))
    assert picture.size == size
    assert picture.getpixel(at) == color


async def test_what_is_transparent_is_masked_and_composed(comfy: tuple[Emulator, Caller]) -> None:
    put(comfy[0], quarters())
    graph = {
        **LOADED,
        "blue": node("EmptyImage", width=64, height=64, batch_size=1, color=255),
        "do": node(
            "ImageCompositeMasked",
            destination=["blue", 0],
            source=["in", 0],
            mask=["in", 1],
            x=0,
            y=0,
            resize_source=False,
        ),
    }
    picture = await picture_of(comfy, saved(graph, "do"))
    assert picture.getpixel((4, 4)) == (0, 255, 0)
    assert picture.getpixel((40, 40)) == (0, 0, 255)


@pytest.mark.parametrize(
    ("change", "inside", "outside"),
    [
        (node("GrowMask", mask=["in", 1], expand=4, tapered_corners=False), (34, 34), (40, 40)),
        (node("InvertMask", mask=["in", 1]), (40, 40), (10, 10)),
        (
            node("FeatherMask", mask=["in", 1], left=8, top=0, right=0, bottom=0),
            (20, 20),
            (40, 40),
        ),
        (node("LoadImageMask", image="q.png", channel="alpha"), (4, 4), (40, 40)),
        (node("LoadImageMask", image="q.png", channel="red"), (40, 40), (4, 4)),
    ],
)
async def test_masks(
    comfy: tuple[Emulator, Caller],
    change: dict[str, Any],
    inside: tuple[int, int],
    outside: tuple[int, int],
) -> None:
    put(comfy[0], quarters())
    graph = {**LOADED, "do": change, "as": node("MaskToImage", mask=["do", 0])}
    picture = await picture_of(comfy, saved(graph, "as"))
    assert picture.getpixel(inside) == (255, 255, 255)
    assert picture.getpixel(outside) == (0, 0, 0)
    if change["class_type"] == "FeatherMask":
        line = list(picture.convert("L").crop((0, 20, 9, 21)).tobytes())
        assert line == sorted(line)
        assert line[0] < line[8] == 255


def test_a_mask_can_grow_and_shrink_by_any_number() -> None:
    mask = Image.new("L", (300, 20), 0)
    mask.paste(255, (150, 0, 151, 20))
    assert grown(mask, 120).getbbox() == (30, 0, 271, 20)
    assert grown(grown(mask, 60), -60).getbbox() == mask.getbbox()
    assert grown(mask, -1).getbbox() is None
    assert grown(mask, 16384).getbbox() == (0, 0, 300, 20)


async def test_only_what_is_masked_is_painted_over(comfy: tuple[Emulator, Caller]) -> None:
    put(comfy[0], quarters())
    graph = txt2img()
    graph["4"]["inputs"]["ckpt_name"] = "inpaint.safetensors"
    graph |= {
        **LOADED,
        "l": node("VAEEncode", pixels=["in", 0], vae=["4", 2]),
        "5": node("SetLatentNoiseMask", samples=["l", 0], mask=["in", 1]),
    }
    del graph["9"]
    picture = await picture_of(comfy, saved(graph, "8"))
    assert picture.getpixel((40, 40)) == (255, 0, 0)
    assert picture.crop((0, 0, 32, 32)).getcolors(1) is None


async def test_only_the_chosen_branch_runs(comfy: tuple[Emulator, Caller]) -> None:
    _, caller = comfy
    graph = saved(
        {
            "which": node("PrimitiveBoolean", value=False),
            "yes": node("EmptyImage", width=8, height=8, batch_size=1, color=0xFF0000),
            "no": node("EmptyImage", width=8, height=8, batch_size=1, color=0x00FF00),
            "pick": node(
                "ComfySwitchNode", switch=["which", 0], on_true=["yes", 0], on_false=["no", 0]
            ),
        },
        "pick",
    )
    async with caller.http.ws_connect("/ws?clientId=me") as socket:
        seen = await caller.run_and_listen(socket, graph, "me")
    ran = {part[1]["node"] for part in seen if part[0] == "executing"}
    assert ran == {"which", "no", "pick", "out", None}
    assert (await picture_of(comfy, graph)).getpixel((0, 0)) == (0, 255, 0)
    graph["which"]["inputs"]["value"] = True
    assert (await picture_of(comfy, graph)).getpixel((0, 0)) == (255, 0, 0)


async def test_a_switch_needs_no_branch_that_is_not_chosen(
    comfy: tuple[Emulator, Caller],
) -> None:
    """The same switch feeds two nodes, and its branch is used elsewhere, too."""
    _, caller = comfy
    graph = {
        "a": node("PrimitiveInt", value=5),
        "b": node("PrimitiveInt", value=7),
        "s": node("ComfySwitchNode", switch=True, on_true=["a", 0], on_false=["b", 0]),
        "t": node("ComfySwitchNode", switch=False, on_true=["s", 0], on_false=["s", 0]),
        "p": node("PreviewAny", source=["t", 0]),
        "q": node("PreviewAny", source=["a", 0]),
    }
    outputs = (await caller.run(graph))["outputs"]
    assert outputs == {"p": {"text": ["5"]}, "q": {"text": ["5"]}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a + b * 2", 7),
        ("max(a, b) if a < b else 0", 3),
        ("round(b / 2) ** 2", 4),
        ("-a // 2", -1),
        ("29 & -8 | ~-2", 25),
    ],
)
def test_expressions(text: str, value: float) -> None:
    assert calculated(text, {"a": 1, "b": 3}) == value


@pytest.mark.parametrize(
    "text", ["", "c", "__import__('os')", "a.real", "9 ** 9 ** 9", "1 / 0", "[1]", "(" * 500]
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot calculate|too large|no part"):
        calculated(text, {"a": 1})


async def test_any_model_or_those_that_are_named() -> None:
    graph = txt2img()
    graph["10"] = node("VAELoader", vae_name="ae.safetensors")
    graph["8"]["inputs"]["vae"] = ["10", 0]
    async with calling() as (_, caller):
        assert (await caller.post("/prompt", {"prompt": graph}))[0] == 400
    named = EmulatorOptions(step_time=0, models={"vae": ("ae.safetensors",)})
    async with calling(named) as (_, caller):
        assert (await caller.run(graph))["status"]["completed"] is True
        _, info = await caller.get("/object_info/VAELoader")
        choices = info["VAELoader"]["input"]["required"]["vae_name"][0]
        assert choices == ["ae.safetensors", "pixel_space"]
        assert (await caller.get("/models/vae"))[1] == ["ae.safetensors"]
    async with calling(replace(FAST, any_model=True)) as (_, caller):
        assert (await caller.run(graph))["status"]["completed"] is True
        graph["3"]["inputs"]["sampler_name"] = "nope"
        assert (await caller.post("/prompt", {"prompt": graph}))[0] == 400


async def test_equal_uploads_are_equal_to_the_cache(comfy: tuple[Emulator, Caller]) -> None:
    """nodes.py: LoadImage's IS_CHANGED is the hash of the bytes, not the time of the file."""
    emulator, caller = comfy
    put(emulator, quarters())
    graph = saved(LOADED, "in")
    first = (await caller.run(graph))["outputs"]
    put(emulator, quarters())
    assert (await caller.run(graph))["outputs"] == first
    put(emulator, quarters(32))
    assert (await caller.run(graph))["outputs"] != first
