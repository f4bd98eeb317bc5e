"""Pictures depend on what they are asked for, on nothing else, and are quick."""

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from comfy.emulator.caption import drawable
from comfy.emulator.painting import Recipe, paint
from comfy.emulator.previews import Previews

RECIPE = Recipe(
    prompt="a lighthouse at dawn",
    negative="blurry",
    seed=7,
    steps=20,
    cfg=7.0,
    sampler="euler/normal",
    model="emulator-sd15.safetensors",
    width=96,
    height=128,
)


def test_equal_recipes_give_equal_pixels() -> None:
    assert paint(RECIPE, 0).tobytes() == paint(replace(RECIPE), 0).tobytes()
    assert paint(RECIPE, 0).size == (96, 128)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a fox"},
        {"negative": "text"},
        {"seed": 8},
        {"steps": 21},
        {"cfg": 7.5},
        {"sampler": "heun/normal"},
        {"model": "emulator-sdxl.safetensors"},
    ],
)
def test_every_input_counts(change: dict[str, Any]) -> None:
    assert paint(replace(RECIPE, **change), 0).tobytes() != paint(RECIPE, 0).tobytes()


def test_images_of_a_batch_differ() -> None:
    assert len({paint(RECIPE, index).tobytes() for index in range(4)}) == 4


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "狐狸 в лесу 🦊 \U0010fffd \x00 \n",
        "storm snow fire city flowers aurora cat boat lighthouse mountains birds",
        "night " * 500,
        "é" * 5000,
    ],
)
@pytest.mark.parametrize("size", [(16, 16), (16, 640), (700, 24), (256, 256)])
def test_any_prompt_and_size_can_be_painted(prompt: str, size: tuple[int, int]) -> None:
    recipe = replace(RECIPE, prompt=prompt, width=size[0], height=size[1], steps=1, cfg=100.0)
    assert paint(recipe, 0).size == size


def test_previews_get_closer_to_the_picture() -> None:
    picture = paint(replace(RECIPE, width=256, height=256), 0)
    previews = Previews(picture, steps=4)
    errors = []
    for step in (1, 2, 4):
        with Image.open(io.BytesIO(previews.at(step))) as shown:
            assert (shown.format, shown.size) == ("JPEG", (512, 512))
            small = shown.convert("RGB").resize((64, 64))
        wanted = picture.resize((64, 64))
        pairs = zip(small.tobytes(), wanted.tobytes(), strict=True)
        errors.append(sum(abs(a - b) for a, b in pairs))
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a red fox, 35 mm", "a red fox, 35 mm"),
        ("café Łódź Ñandú", "cafe …odz Nandu"),
        ("лис в снегу", "…"),
        ("fox 狐 あ, снег 🦊", "fox …, …"),
        ("\uffff", "…"),
    ],
)
def test_a_caption_has_no_boxes(text: str, shown: str) -> None:
    """The font has few characters, and draws the same box for each of the others."""
    assert drawable(text) == shown
    assert drawable(shown) == shown
