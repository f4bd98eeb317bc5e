"""Workflows that make 3D models."""

from __future__ import annotations

from typing import Final

from comfy.shipped.inputs import CFG, IMAGE, SAMPLER, SCHEDULER, SEED, STEPS
from comfy.shipped.values import Shipped, shown

MODELS3D: Final = (
    Shipped(
        name="hunyuan3d",
        title="Hunyuan3D 2.1",
        description="A 3D model without colours from one image of a thing.",
        kind="model3d",
        templates=("3d_hunyuan3d-v2.1",),
        inputs=(
            IMAGE,
            SEED,
            STEPS,
            CFG,
            shown(
                "lantent_resolution",
                "resolution",
                help="More: finer shapes, more memory.",
                advanced=True,
            ),
            shown("algorithm", label="Surface", advanced=True),
            shown("threshold", advanced=True),
            SAMPLER,
            SCHEDULER,
        ),
    ),
)
