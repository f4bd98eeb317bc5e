"""Inputs that many of the workflows have."""

from __future__ import annotations

from typing import Final

from comfy.shipped.values import Shown, shown

TURBO_GROUP: Final = "Turbo mode"

PROMPT: Final = shown("prompt", required=True, default=None)
"""Without the template's example: nobody wants that by leaving the prompt out."""
NEGATIVE: Final = shown("negative_prompt", advanced=True)
IMAGE: Final = shown("image")
SEED: Final = shown("seed")
WIDTH: Final = shown("width", minimum=64)
HEIGHT: Final = shown("height", minimum=64)
STEPS: Final = shown("steps", advanced=True)
CFG: Final = shown("cfg", label="CFG", advanced=True)
SAMPLER: Final = shown("sampler", advanced=True)
SCHEDULER: Final = shown("scheduler", advanced=True)
BATCH_SIZE: Final = shown("batch_size", advanced=True)
SCALE: Final = shown(
    "scale_multiplier", "scale", help="How many times as wide and as high.", minimum=1
)
DURATION: Final = shown("duration_s", label="Duration (s)", minimum=1)
FPS: Final = shown("fps", label="Frames per second", advanced=True)


def turbo(of: str) -> Shown:
    """Returns the switch between the model and a faster one, made by a LoRA."""
    return shown(
        of,
        "turbo",
        label="Turbo mode",
        help="Few steps with a LoRA: several times as fast, with less variety.",
        group=TURBO_GROUP,
    )


def steps(of: str) -> Shown:
    """Returns the steps, where the template has them in a node of their own."""
    return shown(of, "steps", role="steps", advanced=True, minimum=1, maximum=1000)


def cfg(of: str) -> Shown:
    """Returns the guidance, where the template has it in a node of its own."""
    return shown(of, "cfg", label="CFG", role="cfg", advanced=True, minimum=0, maximum=100)


def turbo_steps(of: str) -> Shown:
    """Returns the steps of the turbo mode."""
    return shown(of, "turbo_steps", group=TURBO_GROUP, advanced=True, minimum=1, maximum=1000)


def turbo_cfg(of: str) -> Shown:
    """Returns the guidance of the turbo mode."""
    return shown(
        of, "turbo_cfg", label="Turbo CFG", group=TURBO_GROUP, advanced=True, minimum=0, maximum=100
    )
