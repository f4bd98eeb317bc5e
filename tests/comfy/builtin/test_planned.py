"""What the worker reads of a stored request before it builds its graph."""

from __future__ import annotations

from typing import Any

import pytest

from comfy.workflows import BUILT_IN, missing_value, pixels_of
from core.workflows.plan import Plan
from tests.comfy.builtin.asking import IMAGE, MASK, resolved
from tests.comfy.data import resolved as stored

XL: dict[str, Any] = {"model": "whole-sdxl.safetensors"}


@pytest.mark.parametrize(
    ("workflow", "inputs", "pixels"),
    [
        ("txt2img", {"width": 64, "height": 128, "batch_size": 2}, 64 * 128),
        ("txt2img", {"width": 64, "height": 128, "hires": {"scale": 2}}, 128 * 256),
        ("img2img", {"init_image": IMAGE, "width": 320}, 320 * 240),
        ("img2img", {"init_image": IMAGE, "width": 320, "hires": {"scale": 2}}, 640 * 480),
        ("inpaint", {"init_image": IMAGE, "mask": MASK, "hires": {"scale": 2}}, 640 * 480),
        ("outpaint", {"init_image": IMAGE, "outpaint": {"top": 80}}, 640 * 560),
    ],
)
def test_how_large_each_picture_will_be(workflow: str, inputs: dict[str, Any], pixels: int) -> None:
    assert pixels_of(resolved(workflow, **inputs, **XL)) == pixels


def test_of_an_earlier_version_s_request_the_size_counts() -> None:
    planned = stored(width=64, height=128).model_copy(update={"plan": Plan(outputs=1)})

    assert pixels_of(planned) == 64 * 128


@pytest.mark.parametrize(
    ("workflow", "plan"),
    [
        ("txt2img", Plan()),
        ("mine", Plan(outputs=1)),
        ("upscale", Plan()),
        ("txt2img", Plan(outputs=1, recipe={"layout": 5})),
    ],
)
def test_what_only_comfyui_knows(workflow: str, plan: Plan) -> None:
    """A user's own workflow may have the name of a built-in one."""
    assert pixels_of(stored(workflow=workflow).model_copy(update={"plan": plan})) is None


@pytest.mark.parametrize(
    ("workflow", "left_out"),
    [
        ("txt2img", "prompt"),
        ("txt2img", "model"),
        ("txt2img", "width"),
        ("txt2img", "seed"),
        ("txt2img", "batch_size"),
        ("img2img", "init_image"),
        ("inpaint", "mask"),
        ("edit", "reference_images"),
        ("upscale", "scale"),
    ],
)
def test_values_without_which_nothing_can_be_built(workflow: str, left_out: str) -> None:
    values = {
        **stored().inputs, "init_image": IMAGE, "mask": MASK, "reference_images": [IMAGE],
        "scale": 2.0, "detail": 0.0,
    }  # fmt: skip
    if workflow == "txt2img":
        del values["mask"]
    declared = BUILT_IN[workflow]

    assert missing_value(declared, values) is None
    assert missing_value(declared, {k: v for k, v in values.items() if k != left_out}) == left_out
    assert missing_value(declared, {**values, left_out: None}) == left_out


def test_within_a_mask_the_size_is_the_image_s() -> None:
    values = {k: v for k, v in stored().inputs.items() if k not in ("width", "height")}

    assert missing_value(BUILT_IN["txt2img"], {**values, "mask": MASK}) is None
