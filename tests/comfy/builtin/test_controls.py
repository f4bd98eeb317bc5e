"""How each control of a request is applied."""

from __future__ import annotations

from typing import Any, Final

import pytest

from comfy.families.models import ModelFile, Trait
from comfy.workflows.builtin.recipe import Recipe
from tests.comfy.builtin.asking import IMAGE, MASK, OTHER, graph, known, model, resolved

XL: Final[dict[str, Any]] = {"model": "whole-sdxl.safetensors"}


def test_a_control_says_every_value() -> None:
    [control] = resolved(
        controls=[{"image": OTHER, "model": "net-sdxl.safetensors", "strength": 1}], **XL
    ).inputs["controls"]

    assert control == {
        "image": OTHER,
        "model": "net-sdxl.safetensors",
        "type": "auto",
        "preprocess": "none",
        "strength": 1.0,
        "start": 0.0,
        "end": 1.0,
    }


@pytest.mark.parametrize(
    ("folder", "family", "traits", "masked", "kind", "shows"),
    [
        ("controlnet", "flux1-dev", set(), False, "net", "auto"),
        ("controlnet", "flux1-dev", {"union"}, False, "union", "auto"),
        ("controlnet", "flux1-dev", {"union", "inpaint"}, True, "union", "auto"),
        ("controlnet", "flux1-dev", {"inpaint"}, True, "inpaint", "auto"),
        ("controlnet", "flux1-dev", {"inpaint"}, False, "net", "auto"),
        ("controlnet", "sdxl", {"inpaint"}, True, "net", "inpaint"),
        ("controlnet", "sdxl", {"inpaint"}, False, "net", "auto"),
        ("controlnet", "sd15", {"inpaint"}, True, "net", "inpaint"),
        ("model_patches", "qwen-image", set(), False, "patch", "auto"),
        ("model_patches", "qwen-image", {"inpaint"}, True, "inpaint_patch", "auto"),
        ("model_patches", "z-image", {"inpaint"}, False, "patch", "auto"),
    ],
)
def test_what_a_file_is_says_how_it_is_applied(
    folder: str, family: str, traits: set[Trait], masked: bool, kind: str, shows: str
) -> None:
    file = ModelFile(folder, "cn.sft", None, "unknown", traits=frozenset(traits))
    inputs: dict[str, Any] = {"controls": [{"image": OTHER, "model": "cn.sft"}]}
    if masked:
        inputs |= {"init_image": IMAGE, "mask": MASK}

    request = resolved(known=known(file), model=model(family), **inputs)

    assert Recipe.read(request.plan.recipe).controls == (kind,)
    assert request.inputs["controls"][0]["type"] == shows
    assert request.plan.models[folder] == ("cn.sft",)
    assert graph(request).node_count


def test_of_two_files_with_one_name_the_one_that_the_family_can_use_counts() -> None:
    twins = known(
        ModelFile("controlnet", "cn.sft", "z-image"),
        ModelFile("model_patches", "cn.sft", "z-image"),
    )
    controls = [{"image": OTHER, "model": "cn.sft"}]

    request = resolved(known=twins, controls=controls, model=model("z-image"))

    assert Recipe.read(request.plan.recipe).controls == ("patch",)


def test_the_pack_s_nodes_are_among_what_comfyui_must_have() -> None:
    controls = [{"image": OTHER, "model": "net-sdxl.safetensors", "preprocess": "depth"}]

    assert "DepthAnythingV2Preprocessor" in resolved(controls=controls, **XL).plan.classes
