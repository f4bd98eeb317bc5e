"""Text to image: one checkpoint, one sampler, one saved batch.

Everything of this workflow is here: its inputs (from which forms, schemas, columns and options are
made), the defaults that a model's family gives, and the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from comfy.catalogue import Catalogue
from comfy.workflows.building.drawing import draw
from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.families import family_of
from core.fields import PROMPT_MAX, draw_seed
from core.workflows.declaration import ChoicesFrom, Input, Origin, Output, Workflow
from core.workflows.limits import BATCH_SIZE_MAX, CFG_MAX, SIZE_MAX, SIZE_MIN, SIZE_STEP, STEPS_MAX

_SIZE: Final[dict[str, Any]] = {
    "type": "integer",
    "minimum": SIZE_MIN,
    "maximum": SIZE_MAX,
    "multiple_of": SIZE_STEP,
    "group": "Size",
}

TXT2IMG: Final = Workflow(
    name="txt2img",
    title="Text to image",
    description="An image from a prompt, with a Stable Diffusion checkpoint.",
    inputs=(
        Input(
            name="prompt",
            type="longtext",
            role="prompt",
            label="Prompt",
            help="What to draw.",
            required=True,
            max_length=PROMPT_MAX,
        ),
        Input(
            name="negative_prompt",
            type="longtext",
            role="negative_prompt",
            label="Negative prompt",
            help="What to keep out of the image.",
            default="",
            max_length=PROMPT_MAX,
        ),
        Input(
            name="model",
            type="model",
            role="model",
            label="Model",
            help="A checkpoint's file name as `GET /api/v1/models` lists it.",
            folder="checkpoints",
            choices_from=ChoicesFrom(node_class="CheckpointLoaderSimple", field="ckpt_name"),
        ),
        Input(name="width", role="width", label="Width", **_SIZE),
        Input(name="height", role="height", label="Height", **_SIZE),
        Input(
            name="steps",
            type="integer",
            role="steps",
            label="Steps",
            minimum=1,
            maximum=STEPS_MAX,
            advanced=True,
        ),
        Input(
            name="cfg",
            type="number",
            role="cfg",
            label="CFG",
            help="How strongly the image follows the prompt.",
            minimum=0,
            maximum=CFG_MAX,
            advanced=True,
        ),
        Input(
            name="sampler",
            type="choice",
            role="sampler",
            label="Sampler",
            choices_from=ChoicesFrom(node_class="KSampler", field="sampler_name"),
            advanced=True,
        ),
        Input(
            name="scheduler",
            type="choice",
            role="scheduler",
            label="Scheduler",
            choices_from=ChoicesFrom(node_class="KSampler", field="scheduler"),
            advanced=True,
        ),
        Input(
            name="seed",
            type="seed",
            role="seed",
            label="Seed",
            help="Drawn when the request is accepted if null or -1.",
        ),
        Input(
            name="batch_size",
            type="integer",
            role="batch_size",
            label="Images",
            help="Images in this generation.",
            minimum=1,
            maximum=BATCH_SIZE_MAX,
            default=1,
        ),
    ),
    outputs=(Output(node="7", kind="image", name="image", primary=True),),
    origin=Origin(kind="builtin"),
)


def resolved(
    given: Mapping[str, Any], catalogue: Catalogue | None, default_model: str | None
) -> dict[str, Any]:
    """Returns every value as it will be used; ``model`` is None where there is none to take.

    The model is the one given, else ``default_model``, else the catalogue's first checkpoint; the
    rest are the defaults of the model's family.
    """
    known = catalogue or Catalogue()
    model = given.get("model") or default_model or next(iter(known.checkpoints), None)
    family = family_of(model or "")
    defaults = {
        "width": family.width,
        "height": family.height,
        "steps": family.steps,
        "cfg": family.cfg,
        "sampler": _available(family.sampler, known.samplers),
        "scheduler": _available(family.scheduler, known.schedulers),
    }
    declared = {one.name: one.default for one in TXT2IMG.inputs}
    values = {**declared, **defaults, **given, "model": model}
    if values["seed"] is None:
        values["seed"] = draw_seed()
    return {**values, "cfg": float(values["cfg"])}


def _available(preferred: str, names: tuple[str, ...]) -> str:
    """Returns a family's default, or the first name of a ComfyUI that does not have it."""
    return preferred if preferred in names or not names else names[0]


@cache
def node_classes() -> tuple[str, ...]:
    """Returns the node classes of its graph, whatever the values."""
    values = resolved({"prompt": "x", "model": "x"}, None, None)
    graph = draw(values, Recipe(), "")
    return tuple(sorted({node.class_type for node in graph.nodes.values()}))
