"""Workflows that make music and sounds."""

from __future__ import annotations

from typing import Final

from comfy.shipped.inputs import CFG, DURATION, NEGATIVE, PROMPT, SAMPLER, SCHEDULER, SEED, STEPS
from comfy.shipped.values import Shipped, shown

AUDIO: Final = (
    Shipped(
        name="ace-step15",
        title="ACE-Step 1.5: music",
        description="Songs and instrumental music from a description of the style, and lyrics.",
        kind="audio",
        templates=("audio_ace_step_1_5_checkpoint",),
        inputs=(
            shown(
                "tags",
                label="Style",
                help="Genre, mood, instruments, voices.",
                required=True,
                default=None,
            ),
            shown("lyrics", help="Without lyrics the music is instrumental.", default=""),
            DURATION,
            shown("94.bpm", "bpm", label="Beats per minute", default=120),
            shown("94.keyscale", "key", default="C major"),
            shown("94.timesignature", "time_signature", advanced=True),
            shown("94.language", "language", help="Of the lyrics.", advanced=True),
            SEED,
            STEPS,
            CFG,
            SAMPLER,
            SCHEDULER,
        ),
    ),
    Shipped(
        name="stable-audio",
        title="Stable Audio 3: music and sounds",
        description="Music, sounds and effects from text.",
        kind="audio",
        templates=("audio_stable_audio_3_medium",),
        inputs=(
            PROMPT,
            DURATION,
            shown("use_reprompt", "enhance_prompt", help="A language model writes the prompt out."),
            shown(
                "reprompt_category",
                "category",
                help="What the prompt is written out as.",
                type="choice",
                choices=("Music", "Instrument", "SFX", "One-shot"),
            ),
            NEGATIVE,
            SEED,
            STEPS,
            CFG,
            SAMPLER,
            SCHEDULER,
        ),
    ),
)
