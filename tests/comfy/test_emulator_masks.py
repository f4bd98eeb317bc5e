"""Masks grow, blur and last as ComfyUI's do: what is pasted through them depends on each pixel."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import pytest
from PIL import Image

from comfy.emulator import Emulator
from comfy.emulator.blurring import blurred
from comfy.emulator.masks import tapered

from .test_emulator import FAST, Caller, calling, node, txt2img

WHITE: Final = 255


@pytest.fixture
async def comfy() -> AsyncIterator[tuple[Emulator, Caller]]:
    async with calling(replace(FAST, any_model=True)) as found:
        yield found


async def pictures_of(found: tuple[Emulator, Caller], graph: dict[str, Any]) -> list[Image.Image]:
    """What node `9` saves."""
    emulator, caller = found
    entry = await caller.run(graph)
    assert entry["status"]["completed"] is True, entry["status"]
    pictures = []
    for file in entry["outputs"]["9"]["images"]:
        with Image.open(emulator.output_dir / file["filename"]) as picture:
            pictures.append(picture.convert("RGB"))
    return pictures


def point(size: int = 21) -> Image.Image:
    mask = Image.new("L", (size, size), 0)
    mask.putpixel((size // 2, size // 2), WHITE)
    return mask


# --- blurring


def test_a_blur_is_the_weighted_sum_of_what_is_within_its_radius() -> None:
    radius, sigma, size = 3, 0.5, 9
    values = [(x * 53 + y * 97) % 256 for y in range(size) for x in range(size)]
    picture = Image.new("L", (size, size))
    picture.putdata(values)

    found = blurred(picture, radius, sigma)

    def at(x: int, y: int) -> int:
        x, y = (abs(place) for place in (x, y))
        x, y = (place if place < size else 2 * (size - 1) - place for place in (x, y))
        return values[y * size + x]

    def weight(x: int, y: int) -> float:
        return math.exp(-((x / radius) ** 2 + (y / radius) ** 2) / (2 * sigma**2))

    reach = range(-radius, radius + 1)
    total = sum(weight(x, y) for x in reach for y in reach)
    for x in range(size):
        for y in range(size):
            summed = sum(weight(i, j) * at(x + i, y + j) for i in reach for j in reach) / total
            got = found.getpixel((x, y))
            assert isinstance(got, tuple)
            assert abs(got[0] - summed) <= 0.51
            assert got[0] == got[1] == got[2]


def test_nothing_is_blurred_beyond_the_radius() -> None:
    edge = Image.new("L", (60, 40), 0)
    edge.paste(WHITE, (0, 0, 30, 40))

    line = blurred(edge, 8, 0.5).getchannel("R").crop((0, 20, 60, 21)).tobytes()

    assert line[:22] == bytes([WHITE] * 22)
    assert line[38:] == bytes(22)
    assert sorted(line, reverse=True) == list(line)
    assert 0 < line[31] < line[28] < WHITE


def test_colours_are_blurred_each_by_itself() -> None:
    picture = Image.merge("RGB", [point(), Image.new("L", (21, 21), 7), Image.new("L", (21, 21))])

    found = blurred(picture, 2, 1.0)

    assert found.getchannel("R").getbbox() == (8, 8, 13, 13)
    assert found.getchannel("G").getextrema() == (7, 7)
    assert found.getchannel("B").getextrema() == (0, 0)


async def test_a_radius_as_long_as_a_side_is_an_error(comfy: tuple[Emulator, Caller]) -> None:
    graph = {
        "1": node("EmptyImage", width=40, height=16, batch_size=1, color=0),
        "2": node("ImageBlur", image=["1", 0], blur_radius=16, sigma=0.5),
        "9": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }

    entry = await comfy[1].run(graph)

    assert entry["status"]["status_str"] == "error"
    assert "Padding size should be less" in str(entry["status"])


# --- growing


@pytest.mark.parametrize("by", [1, 3, 10])
def test_with_tapered_corners_a_point_grows_to_a_diamond(by: int) -> None:
    found = tapered(point(), by)

    for x in range(21):
        for y in range(21):
            is_near = abs(x - 10) + abs(y - 10) <= by
            assert found.getpixel((x, y)) == (WHITE if is_near else 0)


def test_what_grew_tapered_shrinks_to_what_it_was() -> None:
    assert tapered(tapered(point(), 4), -4).tobytes() == point().tobytes()
    assert tapered(point(), 1000).getextrema() == (WHITE, WHITE)


async def test_the_seam_of_an_outpainting_fades_by_the_square(
    comfy: tuple[Emulator, Caller],
) -> None:
    Image.new("RGB", (64, 48)).save(comfy[0].input_dir / "a.png")
    sides = {"left": 8, "top": 0, "right": 0, "bottom": 16}

    async def mask(feathering: int) -> Image.Image:
        graph = {
            "1": node("LoadImage", image="a.png"),
            "2": node("ImagePadForOutpaint", image=["1", 0], **sides, feathering=feathering),
            "3": node("MaskToImage", mask=["2", 1]),
            "9": node("SaveImage", images=["3", 0], filename_prefix="m"),
        }
        [found] = await pictures_of(comfy, graph)
        return found.getchannel("R")

    soft, hard, too_wide = [await mask(reach) for reach in (4, 0, 24)]
    across = list(soft.crop((6, 20, 14, 21)).tobytes())
    assert across == [255, 255, 255, 143, 63, 15, 0, 0]
    assert list(soft.crop((40, 43, 41, 50)).tobytes()) == [0, 0, 15, 63, 143, 255, 255]
    assert soft.getpixel((40, 0)) == 0  # nothing is added above
    assert hard.tobytes() == too_wide.tobytes()
    assert set(hard.tobytes()) == {0, WHITE}


# --- latents


async def test_a_second_sampling_heeds_the_mask_of_the_first(
    comfy: tuple[Emulator, Caller],
) -> None:
    mask = Image.new("RGB", (64, 64))
    mask.paste((255, 255, 255), (0, 0, 32, 64))
    mask.save(comfy[0].input_dir / "mask.png")
    Image.new("RGB", (64, 64), (9, 9, 9)).save(comfy[0].input_dir / "a.png")
    graph = txt2img("twice")
    again = node("KSampler", **{**graph["3"]["inputs"], "seed": 2, "latent_image": ["3", 0]})
    graph |= {
        "a": node("LoadImage", image="a.png"),
        "m": node("LoadImageMask", image="mask.png", channel="red"),
        "e": node("VAEEncode", pixels=["a", 0], vae=["4", 2]),
        "5": node("SetLatentNoiseMask", samples=["e", 0], mask=["m", 0]),
        "10": again,
    }
    graph["8"]["inputs"]["samples"] = ["10", 0]

    [found] = await pictures_of(comfy, graph)

    assert found.crop((32, 0, 64, 64)).getcolors() == [(32 * 64, (9, 9, 9))]
    assert (found.crop((0, 0, 32, 64)).getcolors(5000) or [])[0][1] != (9, 9, 9)


async def test_a_vae_takes_the_middle_of_sides_that_are_no_multiple_of_8(
    comfy: tuple[Emulator, Caller],
) -> None:
    picture = Image.new("RGB", (70, 45), (200, 0, 0))
    picture.paste((0, 0, 200), (3, 2, 67, 42))
    picture.save(comfy[0].input_dir / "a.png")
    graph = {
        "1": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
        "2": node("LoadImage", image="a.png"),
        "3": node("VAEEncode", pixels=["2", 0], vae=["1", 2]),
        "4": node("VAEDecode", samples=["3", 0], vae=["1", 2]),
        "9": node("SaveImage", images=["4", 0], filename_prefix="cells"),
    }

    [found] = await pictures_of(comfy, graph)

    assert found.getcolors() == [(64 * 40, (0, 0, 200))]


# --- strengths


@pytest.mark.parametrize(
    ("strengths", "changes"),
    [((0.0, 0.0), False), ((0.5, 0.0), True), ((0.0, 0.5), True), ((-0.5, 0.5), True)],
)
async def test_a_lora_of_no_strength_changes_nothing(
    comfy: tuple[Emulator, Caller], strengths: tuple[float, float], changes: bool
) -> None:
    model, clip = strengths
    lora = node(
        "LoraLoader",
        model=["4", 0],
        clip=["4", 1],
        lora_name="l.safetensors",
        strength_model=model,
        strength_clip=clip,
    )
    graph = {**txt2img("lora"), "l": lora}
    graph["3"]["inputs"]["model"] = ["l", 0]
    for text in ("6", "7"):
        graph[text]["inputs"]["clip"] = ["l", 1]

    [plain] = await pictures_of(comfy, txt2img("plain"))
    [found] = await pictures_of(comfy, graph)

    assert (found.tobytes() != plain.tobytes()) is changes


@pytest.mark.parametrize("strength", [0.0, 0.5])
async def test_a_control_of_no_strength_changes_nothing(
    comfy: tuple[Emulator, Caller], strength: float
) -> None:
    Image.new("RGB", (64, 64)).save(comfy[0].input_dir / "a.png")
    control = node(
        "ControlNetApplyAdvanced",
        positive=["6", 0],
        negative=["7", 0],
        control_net=["n", 0],
        image=["a", 0],
        strength=strength,
        start_percent=0.0,
        end_percent=1.0,
    )
    graph = {
        **txt2img("control"),
        "a": node("LoadImage", image="a.png"),
        "n": node("ControlNetLoader", control_net_name="n.safetensors"),
        "c": control,
    }
    graph["3"]["inputs"] |= {"positive": ["c", 0], "negative": ["c", 1]}

    [plain] = await pictures_of(comfy, txt2img("plain"))
    [found] = await pictures_of(comfy, graph)

    assert (found.tobytes() != plain.tobytes()) is (strength > 0)
