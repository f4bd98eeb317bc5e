"""Workflows that make or change images."""

from __future__ import annotations

from typing import Final

from comfy.shipped.inputs import (
    BATCH_SIZE,
    CFG,
    HEIGHT,
    IMAGE,
    NEGATIVE,
    PROMPT,
    SAMPLER,
    SCALE,
    SCHEDULER,
    SEED,
    STEPS,
    WIDTH,
    cfg,
    steps,
    turbo,
    turbo_cfg,
    turbo_steps,
)
from comfy.shipped.values import Shipped, shown

IMAGES: Final = (
    Shipped(
        name="z-image-turbo",
        title="Z-Image-Turbo",
        description="Images from text in eight steps, with legible English and Chinese in them.",
        kind="image",
        templates=("image_z_image_turbo",),
        inputs=(PROMPT, WIDTH, HEIGHT, SEED, STEPS, CFG, SAMPLER, SCHEDULER, BATCH_SIZE),
    ),
    Shipped(
        name="qwen-image-edit",
        title="Qwen-Image-Edit 2511",
        description="Changes an image as a sentence says.",
        kind="image",
        templates=("image_qwen_image_edit_2511",),
        switched_off=("83",),  # the second image, which a request would have to bring
        inputs=(
            PROMPT,
            IMAGE,
            NEGATIVE,
            SEED,
            turbo("enable_turbo_mode"),
            turbo_steps("170:165.value"),
            turbo_cfg("170:155.value"),
            steps("170:166.value"),
            cfg("170:154.value"),
            SAMPLER,
            SCHEDULER,
        ),
    ),
    Shipped(
        name="flux2-klein-edit",
        title="FLUX.2 Klein 4B: image edit",
        description="Changes an image as a sentence says, in four steps.",
        kind="image",
        templates=("image_flux2_klein_image_edit_4b_distilled",),
        inputs=(PROMPT, IMAGE, SEED, STEPS, CFG, SAMPLER, BATCH_SIZE),
    ),
    Shipped(
        name="upscale",
        title="SeedVR2: upscale an image",
        description="Enlarges an image and restores its details.",
        kind="image",
        templates=("utility_seedvr2_3b_int8_upscale_image",),
        inputs=(
            IMAGE,
            SCALE,
            SEED,
            shown("color_correction_method", "color_correction", advanced=True),
        ),
    ),
    Shipped(
        name="remove-background",
        title="BiRefNet: remove the background",
        description="Gives an image without its background, and the mask of what is left.",
        kind="image",
        templates=("utility_birefnet_remove_background",),
        inputs=(IMAGE,),
        outputs={"image_2": "mask"},
    ),
)
