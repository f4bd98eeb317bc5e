"""How much work a request is, in megapixel-steps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.comfy.builtin.asking import IMAGE, MASK, model, resolved

SD15: dict[str, Any] = {"model": "whole-sd15.safetensors", "steps": 10}
TILE = 512 * 512 / 1e6


@pytest.mark.parametrize(
    ("workflow", "inputs", "work"),
    [
        ("txt2img", {**SD15}, 10 * TILE),
        ("txt2img", {"batch_size": 3, **SD15}, 30 * TILE),
        ("txt2img", {"hires": {"scale": 2, "method": "latent", "steps": 5}, **SD15}, 30 * TILE),
        ("txt2img", {"hires": {"scale": 2, "steps": 5}, **SD15}, (10 + 2 + 20) * TILE),
        ("img2img", {"init_image": IMAGE, "width": 512, "height": 512, **SD15}, 10 * TILE),
        (
            "img2img",
            {"init_image": IMAGE, "width": 512, "height": 512, "denoise": 0, **SD15},
            TILE,
        ),
        (
            "img2img",
            {
                "init_image": IMAGE, "width": 512, "height": 512, "denoise": 0.5, "steps": 10,
                "model": model("flux2-dev"),
            },
            5 * TILE,
        ),
        ("inpaint", {"init_image": IMAGE, "mask": MASK, **SD15}, 10 * 640 * 480 / 1e6),
        ("upscale", {"init_image": IMAGE, "scale": 1}, 2 * 640 * 480 / 1e6),
        (
            "upscale",
            {
                "init_image": IMAGE, "scale": 2, "detail": 0.5, "steps": 10,
                "detail_model": "whole-sd15.safetensors",
            },
            (2 + 10 * 4) * 640 * 480 / 1e6,
        ),
    ],
)  # fmt: skip
def test_the_work(workflow: str, inputs: dict[str, Any], work: float) -> None:
    assert resolved(workflow, **inputs).plan.cost == pytest.approx(work)
