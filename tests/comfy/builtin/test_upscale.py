"""Images enlarged: by an upscale model alone, or drawn once more for details."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.layout import Size
from tests.comfy.builtin.asking import (
    IMAGE,
    KNOWN,
    Album,
    graph,
    model,
    notices,
    problems,
    resolved,
)

START: Final[dict[str, Any]] = {"init_image": IMAGE}


def test_alone_it_draws_nothing() -> None:
    request = resolved("upscale", prompt="unused", steps=3, seed=5, **START)

    assert request.inputs == {
        "init_image": IMAGE,
        "scale": 2.0,
        "model": "2x.safetensors",
        "detail": 0.0,
    }
    assert request.plan.models == {"upscale_models": ("2x.safetensors",)}
    assert (request.plan.model, request.plan.outputs) == ("2x.safetensors", 1)
    assert request.plan.classes == (
        "ImageScale", "ImageUpscaleWithModel", "LoadImage", "SaveImage", "UpscaleModelLoader",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "scale", "exact"),
    [
        (Size(640, 480), 2, Size(1280, 960)),
        (Size(641, 333), 1.5, Size(962, 500)),
        (Size(100, 101), 1, Size(100, 101)),
    ],
)
def test_the_size_is_exact(size: Size, scale: float, exact: Size) -> None:
    album = replace(KNOWN, pictures=Album({IMAGE: size}))

    request = resolved("upscale", known=album, scale=scale, **START)

    layout = Recipe.read(request.plan.recipe).layout
    assert layout is not None
    assert layout.work == exact
    assert graph(request).pixels == exact.pixels


def test_with_detail_it_says_how_that_is_drawn() -> None:
    request = resolved("upscale", detail=0.3, detail_model=model("flux1-dev"), seed=5, **START)

    assert request.inputs == {
        "init_image": IMAGE,
        "scale": 2.0,
        "model": "2x.safetensors",
        "detail": 0.3,
        "prompt": "",
        "detail_model": model("flux1-dev"),
        "steps": 20,
        "cfg": 1.0,
        "guidance": 3.5,
        "sampler": "euler",
        "scheduler": "simple",
        "seed": 5,
        "vae": "ae.safetensors",
        "text_encoders": ["clip_l.safetensors", "t5xxl_fp8_e4m3fn_scaled.safetensors"],
    }
    recipe = Recipe.read(request.plan.recipe)
    assert (recipe.family, recipe.folder) == ("flux1-dev", "diffusion_models")
    assert request.plan.model == model("flux1-dev")
    assert request.plan.models["upscale_models"] == ("2x.safetensors",)
    assert request.plan.models["diffusion_models"] == (model("flux1-dev"),)


def test_the_default_model_draws_the_details() -> None:
    chosen = replace(KNOWN, default_model="whole-sdxl.safetensors")

    request = resolved("upscale", known=chosen, detail=0.3, **START)

    assert request.inputs["detail_model"] == "whole-sdxl.safetensors"


def test_without_an_upscale_model_it_is_scaled_and_says_so() -> None:
    assert KNOWN.catalogue is not None
    bare = replace(KNOWN, catalogue=replace(KNOWN.catalogue, upscalers=()))

    request = resolved("upscale", known=bare, **START)

    assert notices(request) == {"no_upscale_model": ("model",)}
    assert request.plan.classes == ("ImageScale", "LoadImage", "SaveImage")


def test_what_the_detail_s_model_does_not_heed_is_told() -> None:
    request = resolved(
        "upscale", detail=0.3, detail_model=model("z-image-turbo"), prompt="(fox:1.2)", guidance=3,
        **START,
    )  # fmt: skip

    assert notices(request) == {"weights_ignored": ("prompt",), "guidance_ignored": ("guidance",)}
    assert "guidance" not in request.inputs


def test_with_detail_loras_change_the_model_as_they_do_elsewhere() -> None:
    request = resolved(
        "upscale", detail=0.3, detail_model="whole-sdxl.safetensors", prompt="<lora:lora-sdxl:0.5>",
        loras=[{"name": "lora-flux1.safetensors", "strength_clip": 0.5}], **START,
    )  # fmt: skip

    assert request.inputs["prompt"] == ""
    assert request.inputs["loras"] == [
        {"name": "lora-flux1.safetensors", "strength": 1.0, "strength_clip": 0.5},
        {"name": "lora-sdxl.safetensors", "strength": 0.5},
    ]
    assert request.plan.models["loras"] == ("lora-flux1.safetensors", "lora-sdxl.safetensors")
    assert "LoraLoader" in request.plan.classes
    assert notices(request) == {
        "loras_from_prompt": ("prompt",),
        "lora_of_another_family": ("loras", 0, "name"),
    }


def test_a_lora_that_does_not_reach_the_text_encoder_is_told() -> None:
    request = resolved(
        "upscale", detail=0.3, detail_model=model("flux1-dev"),
        loras=[{"name": "lora-flux1.safetensors", "strength_clip": 0.5}], **START,
    )  # fmt: skip

    assert request.inputs["loras"] == [{"name": "lora-flux1.safetensors", "strength": 1.0}]
    assert notices(request) == {"strength_clip_ignored": ("loras", 0, "strength_clip")}


def test_without_detail_loras_are_left_out_and_it_says_so() -> None:
    request = resolved("upscale", loras=[{"name": "lora-sdxl.safetensors"}], **START)

    assert "loras" not in request.inputs
    assert notices(request) == {"loras_ignored": ("loras",)}
    assert notices(resolved("upscale", loras=[], **START)) == {}
    assert "loras" not in resolved("upscale", loras=[], detail=0.3, **START).inputs


@pytest.mark.parametrize(
    ("inputs", "loc", "code"),
    [
        ({"model": "3x.safetensors"}, ("model",), "unknown_model"),
        ({"detail": 0.3, "detail_model": "none.sft"}, ("detail_model",), "unknown_model"),
        ({"detail": 0.3, "detail_model": model("flux1-fill")}, ("detail_model",), "excluded"),
        ({"detail": 0.3, "sampler": "unheard"}, ("sampler",), "unknown_sampler"),
        ({"detail": 0.3, "prompt": "embedding:nothing"}, ("prompt",), "unknown_embedding"),
        ({"detail": 0.3, "vae": "ae.safetensors"}, ("vae",), "excluded"),
        ({"detail": 0.3, "loras": [{"name": "none.sft"}]}, ("loras", 0, "name"), "unknown_model"),
        ({"detail": 0.3, "prompt": "fox <lora:none>"}, ("prompt",), "unknown_model"),
        ({"detail": 0.3, "prompt": "fox <lora:lora-sdxl:much>"}, ("prompt",), "lora_tag"),
        ({"scale": 8, "init_image": IMAGE}, ("scale",), "too_many_pixels"),
    ],
)
def test_what_cannot_be_had(inputs: dict[str, Any], loc: tuple[str, ...], code: str) -> None:
    chosen = replace(
        KNOWN,
        default_model="whole-sdxl.safetensors",
        pictures=Album({IMAGE: Size(2000, 1500)}),
    )

    found = problems("upscale", known=chosen, **{**START, **inputs})

    assert {place: found_code for place, (found_code, _) in found.items()} == {loc: code}
