"""Texts are put into a PNG beside its pixels, which stay byte for byte."""

from __future__ import annotations

import io
import zlib

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core.infotext import infotext
from core.png import keywords, with_texts


def picture(**texts: str) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "teal").save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300))
def test_what_is_put_in_is_read_by_others(text: str) -> None:
    data = with_texts(picture(prompt="{}"), {"parameters": text})
    with Image.open(io.BytesIO(data)) as read:
        read.load()
        assert read.info["parameters"] == text
        assert read.info["prompt"] == "{}"
    assert keywords(data) == {"prompt", "parameters"}


def test_the_rest_of_the_file_stays() -> None:
    before = picture(prompt="{}")
    at = before.index(b"IDAT") - 4
    after = with_texts(before, {"parameters": "x"})
    assert after.startswith(before[:at])
    assert after.endswith(before[at:])
    new = after[at : len(after) - len(before) + at]
    assert int.from_bytes(new[-4:], "big") == zlib.crc32(new[4:-4])


def test_what_is_there_is_not_replaced() -> None:
    data = picture(parameters="mine")
    assert with_texts(data, {"parameters": "other"}) == data


@given(st.binary(max_size=100))
def test_what_is_no_png_comes_back(data: bytes) -> None:
    assert with_texts(data, {"parameters": "x"}) == data
    cut = picture(prompt="{}")[: 8 + len(data)]
    assert with_texts(cut, {"a": "b"}) == cut


def test_the_settings_as_many_programs_read_them() -> None:
    values = {
        "prompt": "a red fox",
        "negative_prompt": "blurry",
        "steps": 25,
        "sampler": "euler_ancestral",
        "scheduler": "karras",
        "cfg": 7.0,
        "seed": 42,
        "width": 1024,
        "height": 768,
        "model": "sd/xl, base.safetensors",
    }
    assert infotext(values) == (
        "a red fox\nNegative prompt: blurry\n"
        "Steps: 25, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 42, "
        'Size: 1024x768, Model: "xl, base"'
    )
    assert infotext({"prompt": "a fox", "seed": None}) == "a fox"
    assert infotext({"seed": 1}) is None


def test_loras_a_start_image_and_a_second_pass_are_in_the_settings() -> None:
    loras = [
        {"name": "styles/ink.safetensors", "strength": 0.8},
        {"name": "b.safetensors", "strength": 1.0, "strength_clip": 0.5},
    ]
    drawn = {"prompt": "a fox", "loras": loras, "denoise": 0.6, "clip_skip": 2, "guidance": 3.5}
    assert infotext(drawn) == (
        "a fox <lora:ink:0.8> <lora:b:0.5:1>\n"
        "Denoising strength: 0.6, Clip skip: 2, Distilled CFG Scale: 3.5"
    )
    hires = {"scale": 1.5, "method": "model", "model": "4x.pth", "steps": 9, "denoise": 0.4}
    assert infotext({"prompt": "a fox", "hires": hires}) == (
        "a fox\nDenoising strength: 0.4, Hires upscale: 1.5, Hires steps: 9, Hires upscaler: 4x"
    )
    assert infotext({"prompt": "a fox", "loras": "x", "hires": 3}) == "a fox"
