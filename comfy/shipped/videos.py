"""Workflows that make or change videos."""

from __future__ import annotations

from typing import Final

from comfy.shipped.inputs import (
    CFG,
    DURATION,
    FPS,
    HEIGHT,
    IMAGE,
    NEGATIVE,
    PROMPT,
    SAMPLER,
    SCALE,
    SCHEDULER,
    SEED,
    STEPS,
    TURBO_GROUP,
    WIDTH,
    cfg,
    steps,
    turbo,
    turbo_cfg,
    turbo_steps,
)
from comfy.shipped.values import Changes, Shipped, Shown, shown

_START: Final = shown("start_image", "image")


_SPLIT: Final[Changes] = {
    "help": "The step from which the model for low noise goes on.",
    "advanced": True,
    "minimum": 1,
    "maximum": 1000,
}
_TURBO_SPLIT: Final[Changes] = {**_SPLIT, "group": TURBO_GROUP}


def _wan(
    split: str, turbo_split: str, slow: tuple[str, str], fast: tuple[str, str]
) -> tuple[Shown, ...]:
    """Returns what both 14B workflows have; the addresses are of (steps, cfg)."""
    return (
        WIDTH,
        HEIGHT,
        DURATION,
        NEGATIVE,
        SEED,
        turbo("enable_turbo_mode"),
        turbo_steps(fast[0]),
        turbo_cfg(fast[1]),
        shown(turbo_split, "turbo_split", **_TURBO_SPLIT),
        steps(slow[0]),
        cfg(slow[1]),
        shown(split, "split", **_SPLIT),
        SAMPLER,
        SCHEDULER,
        FPS,
    )


_WAN_5B: Final = (
    WIDTH,
    HEIGHT,
    shown("length", label="Frames", help="4 n + 1, such as 81 or 121."),
    FPS,
    NEGATIVE,
    SEED,
    STEPS,
    CFG,
    SAMPLER,
    SCHEDULER,
)
_LTX: Final = (
    shown(
        "prompt_enhance",
        "enhance_prompt",
        help="A language model writes the prompt out; the result shows its text.",
    ),
    WIDTH,
    HEIGHT,
    DURATION,
    shown("fps", label="Frames per second"),
    NEGATIVE,
    SEED,
    CFG,
    SAMPLER,
)
_MINIMAX: Final = (
    shown("aspect_ratio"),
    shown("megapixels", help="The size of a frame."),
    shown("length", "duration_s", label="Duration (s)", role="duration_s", minimum=1),
    SEED,
    turbo("turbo_mode"),
    turbo_steps("turbo_steps"),
    shown("turbo_model_strength", "turbo_strength", advanced=True, group=TURBO_GROUP),
    steps("steps"),
    SAMPLER,
    SCHEDULER,
)

VIDEOS: Final = (
    Shipped(
        name="wan22-t2v",
        title="Wan 2.2 14B: text to video",
        description="Videos of a few seconds from text; two models, one after the other.",
        kind="video",
        templates=("video_wan2_2_14B_t2v",),
        inputs=(
            PROMPT,
            *_wan(
                split="128:115.value",
                turbo_split="128:118.value",
                slow=("128:114.value", "128:116.value"),
                fast=("128:117.value", "128:119.value"),
            ),
        ),
    ),
    Shipped(
        name="wan22-i2v",
        title="Wan 2.2 14B: image to video",
        description="Videos of a few seconds that begin with an image; two models.",
        kind="video",
        templates=("video_wan2_2_14B_i2v",),
        inputs=(
            PROMPT,
            _START,
            *_wan(
                split="129:127.value",
                turbo_split="129:124.value",
                slow=("129:128.value", "129:126.value"),
                fast=("129:118.value", "129:122.value"),
            ),
        ),
    ),
    Shipped(
        name="wan22-5b-t2v",
        title="Wan 2.2 5B: text to video",
        description="Videos of a few seconds from text, by the small model.",
        kind="video",
        templates=("video_wan2_2_5B_ti2v",),
        inputs=(PROMPT, *_WAN_5B),
    ),
    Shipped(
        name="wan22-5b-i2v",
        title="Wan 2.2 5B: image to video",
        description="Videos of a few seconds that begin with an image, by the small model.",
        kind="video",
        templates=("video_wan2_2_5B_ti2v",),
        switched_on=("56",),  # the first frame
        inputs=(PROMPT, _START, *_WAN_5B),
    ),
    Shipped(
        name="ltx23-t2v",
        title="LTX-2.3: text to video",
        description="Videos with sound from text.",
        kind="video",
        templates=("video_ltx2_3_t2v",),
        inputs=(PROMPT, *_LTX),
        outputs={"text": "prompt"},
    ),
    Shipped(
        name="ltx23-i2v",
        title="LTX-2.3: image to video",
        description="Videos with sound that begin with an image.",
        kind="video",
        templates=("video_ltx2_3_i2v",),
        inputs=(PROMPT, IMAGE, *_LTX),
        outputs={"text": "prompt"},
    ),
    Shipped(
        name="minimax-h3-t2v",
        title="MiniMax H3: text to video",
        description="Videos with sound from text.",
        kind="video",
        templates=("video_minimax_h3_t2v",),
        inputs=(PROMPT, *_MINIMAX),
    ),
    Shipped(
        name="minimax-h3-i2v",
        title="MiniMax H3: image to video",
        description="Videos with sound that begin with an image.",
        kind="video",
        templates=("video_minimax_h3_i2v",),
        inputs=(PROMPT, shown("first_frame", "image"), *_MINIMAX),
    ),
    Shipped(
        name="upscale-video",
        title="SeedVR2: upscale a video",
        description="Enlarges a video and restores its details; its sound stays.",
        kind="video",
        templates=("utility_seedvr2_3b_int8_upscale_video",),
        inputs=(
            shown("video"),
            SCALE,
            SEED,
            shown("color_correction_method", "color_correction", advanced=True),
            shown("trim_video", "trim", help="Take only the part that start and duration say."),
            shown("trim_start_time", "start_s", label="Start (s)", minimum=0),
            shown("duration_s", label="Duration (s)", help="0: to the end."),
            shown("split_latent", "split", help="Part by part: slower, with less memory."),
            shown(
                "split_latent_temporal_overlap",
                "overlap",
                help="Frames that two parts have in common.",
                advanced=True,
            ),
        ),
    ),
)
