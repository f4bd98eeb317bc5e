"""The workflows that Easel brings: one set of inputs, and a workflow for each operation of it.

``txt2img`` has them all: an operation is chosen by its inputs being there. The others are the same
with what their operation needs required, so that each has a form, a schema and a deployment.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from comfy.workflows.builtin.inputs import (
    BATCH_SIZE,
    CFG,
    CLIP_SKIP,
    CONTROLS,
    DENOISE,
    DETAIL,
    DETAIL_MODEL,
    GUIDANCE,
    HEIGHT,
    HIRES,
    INIT_IMAGE,
    LORAS,
    MASK,
    MASK_AREA,
    MASK_FEATHER,
    MASK_INVERT,
    MASK_PADDING,
    MODEL,
    NEGATIVE_PROMPT,
    OUTPAINT,
    PROMPT,
    REFERENCE_IMAGES,
    REFINER,
    SAMPLER,
    SCALE,
    SCHEDULER,
    SEED,
    STEPS,
    TEXT_ENCODERS,
    UPSCALER,
    VAE,
    WIDTH,
    WILDCARDS,
)
from core.workflows.declaration import Input, Origin, Output, Workflow

SAVER: Final = "7"
"""The node that saves, in the graph of each of them. ``txt2img`` has had it since the first
version: stored generations and prompts under way name it."""
_OUTPUTS: Final = (Output(node=SAVER, kind="image", name="image", primary=True),)
_COMMON: Final = (LORAS, CONTROLS, HIRES, CLIP_SKIP, VAE, TEXT_ENCODERS, REFINER, WILDCARDS)
_SAMPLING: Final = (STEPS, CFG, GUIDANCE, SAMPLER, SCHEDULER, SEED, BATCH_SIZE)
_MASKING: Final = (MASK_AREA, MASK_INVERT, MASK_PADDING, MASK_FEATHER)


def _required(one: Input, **others: str) -> Input:
    return one.model_copy(update={"required": True, **others})


def _workflow(name: str, title: str, description: str, *inputs: Input) -> Workflow:
    return Workflow(
        name=name,
        title=title,
        description=description,
        inputs=inputs,
        outputs=_OUTPUTS,
        origin=Origin(kind="builtin"),
    )


TXT2IMG: Final = _workflow(
    "txt2img",
    "Text to image",
    "An image from a prompt. With a start image, a mask or reference images it starts from them.",
    PROMPT, NEGATIVE_PROMPT, MODEL, WIDTH, HEIGHT, *_SAMPLING,
    INIT_IMAGE, DENOISE, MASK, *_MASKING, OUTPAINT, REFERENCE_IMAGES, *_COMMON,
)  # fmt: skip
IMG2IMG: Final = _workflow(
    "img2img",
    "Image to image",
    "An image from another one and a prompt.",
    PROMPT, NEGATIVE_PROMPT, _required(INIT_IMAGE), DENOISE, MODEL, WIDTH, HEIGHT, *_SAMPLING,
    *_COMMON,
)  # fmt: skip
INPAINT: Final = _workflow(
    "inpaint",
    "Inpaint",
    "Draws a part of an image anew; the rest stays as it is.",
    PROMPT, NEGATIVE_PROMPT, _required(INIT_IMAGE, help="The image to change. It keeps its size."),
    _required(MASK), *_MASKING, DENOISE, MODEL, *_SAMPLING, *_COMMON,
)  # fmt: skip
_AT_THE_EDGES: Final = "Pixels over which the new goes over into the old, inside the image's edges."
OUTPAINT_WORKFLOW: Final = _workflow(
    "outpaint",
    "Outpaint",
    "Extends an image beyond its sides.",
    PROMPT, NEGATIVE_PROMPT, _required(INIT_IMAGE, help="The image to extend."),
    _required(OUTPAINT), MASK_FEATHER.model_copy(update={"help": _AT_THE_EDGES}), DENOISE, MODEL,
    *_SAMPLING, *_COMMON,
)  # fmt: skip
EDIT: Final = _workflow(
    "edit",
    "Edit",
    "Changes images as the prompt says, with a model that edits: Flux Kontext, Flux.2, Qwen-Edit.",
    PROMPT, NEGATIVE_PROMPT, _required(REFERENCE_IMAGES), MODEL, WIDTH, HEIGHT, *_SAMPLING,
    *_COMMON,
)  # fmt: skip
UPSCALE: Final = _workflow(
    "upscale",
    "Upscale",
    "Enlarges an image; with detail, a model draws it once more.",
    _required(INIT_IMAGE, help="The image to enlarge."),
    SCALE,
    UPSCALER,
    DETAIL,
    PROMPT.model_copy(update={"required": False, "default": "", "advanced": True}),
    DETAIL_MODEL,
    *(one.model_copy(update={"advanced": True}) for one in (STEPS, CFG, GUIDANCE, SAMPLER)),
    SCHEDULER,
    SEED,
    LORAS.model_copy(update={"advanced": True}),
    VAE,
    TEXT_ENCODERS,
)

BUILT_IN: Final[Mapping[str, Workflow]] = MappingProxyType(
    {one.name: one for one in (TXT2IMG, IMG2IMG, INPAINT, OUTPAINT_WORKFLOW, EDIT, UPSCALE)}
)
"""The workflows that Easel brings, by name."""


def missing_value(workflow: Workflow, values: Mapping[str, Any]) -> str | None:
    """Returns an input without which no graph can be built and that the values lack, None if none.

    Resolving gives every request all of them; an earlier version of Easel may have known fewer.
    """
    return next((name for name in _needed(workflow, values) if values.get(name) is None), None)


def _needed(workflow: Workflow, values: Mapping[str, Any]) -> tuple[str, ...]:
    required = tuple(one.name for one in workflow.inputs if one.required)
    if workflow.name == UPSCALE.name:
        return (*required, "scale", "detail")
    pastes = values.get("mask") is not None or values.get("outpaint") is not None
    size = () if pastes else ("width", "height")
    drawn = ("model", *size, "steps", "cfg", "sampler", "scheduler", "seed", "batch_size")
    return (*required, *drawn)
