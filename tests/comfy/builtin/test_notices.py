"""What a request gets in another way than it asks for, and what it cannot have at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from comfy import UnresolvableError, resolve
from comfy.families.models import ModelFile, Reason
from comfy.workflows import BUILT_IN
from core.wording import nearest
from tests.comfy.builtin.asking import (
    CATALOGUE,
    IMAGE,
    KNOWN,
    OTHER,
    again,
    asked,
    graph,
    known,
    model,
    notices,
    problems,
    resolved,
    said,
)

FLUX: Final[dict[str, Any]] = {"model": model("flux1-dev")}
XL: Final[dict[str, Any]] = {"model": "whole-sdxl.safetensors"}
Z_IMAGE: Final[dict[str, Any]] = {"model": model("z-image-turbo")}


@pytest.mark.parametrize(
    ("inputs", "code", "loc"),
    [
        ({"negative_prompt": "x", **FLUX}, "negative_prompt_ignored", ("negative_prompt",)),
        ({"negative_prompt": "x", "cfg": 1, **XL}, "negative_prompt_ignored", ("negative_prompt",)),
        ({"prompt": "a (red:1.2) fox", **Z_IMAGE}, "weights_ignored", ("prompt",)),
        ({"prompt": "embedding:x", **Z_IMAGE}, "embeddings_ignored", ("prompt",)),
        ({"clip_skip": 2, **FLUX}, "clip_skip_ignored", ("clip_skip",)),
        ({"guidance": 3, **XL}, "guidance_ignored", ("guidance",)),
        (
            {"scheduler": "karras", "model": model("flux2-dev")},
            "scheduler_ignored",
            ("scheduler",),
        ),
        (
            {"loras": [{"name": "lora-flux1.safetensors", "strength_clip": 0.5}], **FLUX},
            "strength_clip_ignored",
            ("loras", 0, "strength_clip"),
        ),
        (
            {
                "controls": [{"image": OTHER, "model": "patch-z-image.safetensors", "end": 0.5}],
                **Z_IMAGE,
            },
            "control_span_ignored",
            ("controls", 0, "end"),
        ),
        ({"steps": 11, "model": model("sdxl-turbo")}, "steps_reduced", ("steps",)),
        (
            {"hires": {"steps": 20}, "model": model("sdxl-turbo")},
            "steps_reduced",
            ("hires", "steps"),
        ),
        (
            {
                "loras": [{"name": "lora-sdxl.safetensors"}, {"name": "lora-flux1.safetensors"}],
                **XL,
            },
            "lora_of_another_family",
            ("loras", 1, "name"),
        ),
    ],
)
def test_what_is_not_heeded_is_told(
    inputs: dict[str, Any], code: str, loc: tuple[str | int, ...]
) -> None:
    assert notices(resolved(**inputs)) == {code: loc}


@pytest.mark.parametrize(
    "inputs",
    [
        {"negative_prompt": "x", "prompt": "a (red:1.2) fox", "clip_skip": 2, **XL},
        {"guidance": 3, **FLUX},
        {"clip_skip": 1, **FLUX},
        {"negative_prompt": "x", "cfg": 3, **FLUX},
        {"steps": 10, "model": model("sdxl-turbo")},
        {"loras": [{"name": "lora-sdxl.safetensors"}], "model": model("sdxl-pony")},
        {"width": 520, **XL},
        {"scheduler": "simple", "model": model("flux2-dev")},
        {
            "controls": [{"image": OTHER, "model": "patch-anima.safetensors", "start": 0.5}],
            "model": model("anima"),
        },
    ],
)
def test_what_is_heeded_needs_no_word(inputs: dict[str, Any]) -> None:
    assert notices(resolved(**inputs)) == {}


def test_a_lora_of_which_nothing_is_known_needs_no_word() -> None:
    mystery = known(ModelFile("loras", "mystery.sft"))

    assert notices(resolved(known=mystery, loras=[{"name": "mystery.sft"}], **XL)) == {}


@pytest.mark.parametrize("reason", ["header", "setting", "metadata", "name"])
def test_a_control_that_is_surely_of_another_family_is_refused(reason: Reason) -> None:
    there = known(ModelFile("controlnet", "cn.sft", "sdxl", reason))
    inputs: dict[str, Any] = {"controls": [{"image": OTHER, "model": "cn.sft"}]}

    assert notices(resolved(known=there, **inputs, **XL)) == {}
    if reason in ("metadata", "name"):
        found = notices(resolved(known=there, model=model("sd15"), **inputs))
        assert found == {"control_of_another_family": ("controls", 0, "model")}
        return
    refused = problems(known=there, model=model("sd15"), **inputs)
    assert refused[("controls", 0, "model")] == (
        "control_of_another_family",
        "cn.sft is a ControlNet for SDXL, and the model is SD 1.5: choose one for SD 1.5",
    )


def test_a_lora_of_another_family_is_named_with_both() -> None:
    request = resolved(loras=[{"name": "lora-flux1.safetensors"}], **XL)

    message = said(request, "lora_of_another_family")

    assert "lora-flux1.safetensors" in message
    assert "Flux.1" in message
    assert "SDXL" in message
    assert again(request).plan.notices == request.plan.notices


@pytest.mark.parametrize(
    ("inputs", "left_out"),
    [({"clip_skip": 2, **FLUX}, "clip_skip"), ({"guidance": 3, **XL}, "guidance")],
)
def test_the_result_does_not_say_what_has_no_effect(inputs: dict[str, Any], left_out: str) -> None:
    request = resolved(**inputs)

    assert left_out not in request.inputs
    assert notices(again(request)) == {}


def test_the_steps_are_those_that_there_are() -> None:
    request = resolved(steps=30, hires={}, model=model("sdxl-turbo"))

    assert (request.steps, request.inputs["hires"]["steps"]) == (10, 10)


# --- names that there are not


@pytest.mark.parametrize(
    ("inputs", "loc", "near"),
    [
        ({"model": "whole-sdxI.safetensors"}, ("model",), "whole-sdxl.safetensors"),
        ({"vae": "sdxl-vae.safetensors", **XL}, ("vae",), "sdxl_vae.safetensors"),
        (
            {"text_encoders": ["clip_l.safetensors", "t5xxl_fp8.safetensors"], **FLUX},
            ("text_encoders", 1),
            "t5xxl_fp8_e4m3fn_scaled.safetensors",
        ),
        (
            {"loras": [{"name": "lora-sdxl.safetensors"}, {"name": "sdxl.safetensors"}], **XL},
            ("loras", 1, "name"),
            "lora-sdxl.safetensors",
        ),
        (
            {"controls": [{"image": OTHER, "model": "net-sdx.safetensors"}], **XL},
            ("controls", 0, "model"),
            "net-sdxl.safetensors",
        ),
        ({"hires": {"model": "3x.safetensors"}, **XL}, ("hires", "model"), "2x.safetensors"),
        (
            {"refiner": {"model": "whole-sdx.safetensors"}, **XL},
            ("refiner", "model"),
            "whole-sdxl.safetensors",
        ),
    ],
)
def test_every_model_file_is_looked_up(
    inputs: dict[str, Any], loc: tuple[str | int, ...], near: str
) -> None:
    found = problems(**inputs)

    assert {place: code for place, (code, _) in found.items()} == {loc: "unknown_model"}
    assert near in found[loc][1]


def test_without_a_catalogue_any_name_is_taken() -> None:
    away = replace(KNOWN, catalogue=None)
    inputs: dict[str, Any] = {
        "model": "any.safetensors",
        "vae": "own.safetensors",
        "loras": [{"name": "some.safetensors"}],
        "controls": [{"image": OTHER, "model": "net.safetensors"}],
        "hires": {"model": "up.pth"},
        "prompt": "a fox, embedding:mine",
        "sampler": "unheard",
    }

    request = resolved(known=away, **inputs)

    assert request.plan.models == {
        "checkpoints": ("any.safetensors",),
        "vae": ("own.safetensors",),
        "loras": ("some.safetensors",),
        "upscale_models": ("up.pth",),
        "controlnet": ("net.safetensors",),
    }
    assert graph(request).node_count


def test_near_names_are_looked_for_only_when_they_are_told() -> None:
    request = asked(loras=[{"name": "lora-sdx.safetensors"}], **XL)
    with pytest.raises(UnresolvableError) as caught:
        resolve(request, BUILT_IN["txt2img"], KNOWN, suggest=False)

    [problem] = caught.value.problems
    assert problem.message == "ComfyUI has no such LoRA in models/loras"
    near = nearest("lora-sdx.safetensors", CATALOGUE.loras, "LoRAs")
    assert problems(loras=[{"name": "lora-sdx.safetensors"}], **XL)[("loras", 0, "name")] == (
        "unknown_model",
        f"ComfyUI has no such LoRA in models/loras; {near}",
    )


# --- what a family does not have


@pytest.mark.parametrize(
    ("inputs", "loc"),
    [
        ({"refiner": {"model": "whole-sdxl.safetensors"}, **FLUX}, ("refiner",)),
        ({"refiner": {"model": "whole-sd15.safetensors"}, **XL}, ("refiner", "model")),
        (
            {"controls": [{"image": OTHER, "model": "patch-z-image.safetensors"}], **XL},
            ("controls", 0, "model"),
        ),
        (
            {"controls": [{"image": OTHER, "model": "net-sdxl.safetensors"}], **Z_IMAGE},
            ("controls", 0, "model"),
        ),
        (
            {
                "controls": [
                    {"image": OTHER, "model": "net-sdxl.safetensors", "start": 0.5, "end": 0.4}
                ],
                **XL,
            },
            ("controls", 0, "start"),
        ),
    ],
)
def test_what_a_family_does_not_have_is_refused(
    inputs: dict[str, Any], loc: tuple[str | int, ...]
) -> None:
    found = problems(**inputs)

    assert {place: code for place, (code, _) in found.items()} == {loc: "excluded"}


def test_everything_wrong_is_told_at_once() -> None:
    found = problems(
        "txt2img",
        sampler="unheard",
        vae="nothing",
        loras=[{"name": "nothing"}],
        denoise=0.5,
        prompt="a fox <lora:nothing:1:2:3>",
        refiner={"model": "whole-sd15.safetensors"},
        **XL,
    )

    assert {code for code, _ in found.values()} == {
        "unknown_sampler", "unknown_model", "needs_input", "lora_tag", "excluded",
    }  # fmt: skip
    assert IMAGE not in str(found)
