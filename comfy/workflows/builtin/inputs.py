"""The inputs of the workflows that Easel brings: one set for all of them."""

from __future__ import annotations

from typing import Any, Final

from core.fields import PROMPT_MAX
from core.workflows.declaration import ChoicesFrom, Input
from core.workflows.limits import BATCH_SIZE_MAX, CFG_MAX, SIZE_MAX, SIZE_MIN, SIZE_STEP, STEPS_MAX

REFERENCES_MAX: Final = 10
LORAS_MAX: Final = 32
CONTROLS_MAX: Final = 16
CONTROL_TYPES: Final = (
    "auto", "canny", "depth", "pose", "lineart", "scribble", "soft_edge", "normal", "segmentation",
    "tile", "blur", "inpaint",
)  # fmt: skip
"""What a control image shows; ``auto``: as the ControlNet's name says."""
PREPROCESSORS: Final = (
    "none", "canny", "depth", "pose", "lineart", "scribble", "soft_edge", "normal", "segmentation",
)  # fmt: skip
"""How a picture becomes a control image; ``none``: it is one already."""

_MODELS: Final = (
    ChoicesFrom(node_class="CheckpointLoaderSimple", field="ckpt_name"),
    ChoicesFrom(node_class="UNETLoader", field="unet_name"),
    ChoicesFrom(node_class="UnetLoaderGGUF", field="unet_name"),
)
_ENCODERS: Final = (
    ChoicesFrom(node_class="CLIPLoader", field="clip_name"),
    ChoicesFrom(node_class="CLIPLoaderGGUF", field="clip_name"),
)
_CONTROL_NETS: Final = (
    ChoicesFrom(node_class="ControlNetLoader", field="control_net_name"),
    ChoicesFrom(node_class="ModelPatchLoader", field="name"),
)
_UPSCALERS: Final = ChoicesFrom(node_class="UpscaleModelLoader", field="model_name")
_SIZE: Final[dict[str, Any]] = {
    "type": "integer",
    "minimum": SIZE_MIN,
    "maximum": SIZE_MAX,
    "multiple_of": SIZE_STEP,
    "group": "Size",
}
_SHARE: Final[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": 1}
STRENGTH_MAX: Final = 20
"""Of a LoRA, forwards and backwards."""
_STRENGTH: Final[dict[str, Any]] = {
    "type": "number",
    "minimum": -STRENGTH_MAX,
    "maximum": STRENGTH_MAX,
}
_SIDE: Final[dict[str, Any]] = {
    "type": "integer",
    "minimum": 0,
    "maximum": SIZE_MAX,
    "multiple_of": 8,
    "default": 0,
}

PROMPT: Final = Input(
    name="prompt",
    type="longtext",
    role="prompt",
    label="Prompt",
    help="What to draw.",
    required=True,
    max_length=PROMPT_MAX,
)
NEGATIVE_PROMPT: Final = Input(
    name="negative_prompt",
    type="longtext",
    role="negative_prompt",
    label="Negative prompt",
    help="What to keep out of the image.",
    default="",
    max_length=PROMPT_MAX,
)
MODEL: Final = Input(
    name="model",
    type="model",
    role="model",
    label="Model",
    help="A checkpoint's or diffusion model's file name as `GET /api/v1/models` lists it.",
    folder="checkpoints",
    choices_from=_MODELS,
)
WIDTH: Final = Input(name="width", role="width", label="Width", **_SIZE)
HEIGHT: Final = Input(name="height", role="height", label="Height", **_SIZE)
STEPS: Final = Input(
    name="steps", type="integer", role="steps", label="Steps", minimum=1, maximum=STEPS_MAX,
    advanced=True,
)  # fmt: skip
CFG: Final = Input(
    name="cfg",
    type="number",
    role="cfg",
    label="CFG",
    help="How strongly the image follows the prompt. At 1 the negative prompt is not heard.",
    minimum=0,
    maximum=CFG_MAX,
    advanced=True,
)
GUIDANCE: Final = Input(
    name="guidance",
    type="number",
    role="guidance",
    label="Guidance",
    help="What Flux models have in place of CFG.",
    minimum=0,
    maximum=100,
    advanced=True,
)
SAMPLER: Final = Input(
    name="sampler",
    type="choice",
    role="sampler",
    label="Sampler",
    choices_from=ChoicesFrom(node_class="KSampler", field="sampler_name"),
    advanced=True,
)
SCHEDULER: Final = Input(
    name="scheduler",
    type="choice",
    role="scheduler",
    label="Scheduler",
    choices_from=ChoicesFrom(node_class="KSampler", field="scheduler"),
    advanced=True,
)
SEED: Final = Input(
    name="seed",
    type="seed",
    role="seed",
    label="Seed",
    help="Drawn when the request is accepted if null or -1.",
)
BATCH_SIZE: Final = Input(
    name="batch_size",
    type="integer",
    role="batch_size",
    label="Images",
    help="Images in this generation.",
    minimum=1,
    maximum=BATCH_SIZE_MAX,
    default=1,
)
INIT_IMAGE: Final = Input(
    name="init_image",
    type="image",
    role="init_image",
    label="Start image",
    help="The image to start from. Without width and height, its own size is kept.",
)
DENOISE: Final = Input(
    name="denoise",
    role="denoise",
    label="Denoise",
    help="How much of the start image is drawn anew: 0 keeps it, 1 forgets it.",
    **_SHARE,
)
MASK: Final = Input(
    name="mask",
    type="mask",
    role="mask",
    label="Mask",
    help="White is drawn anew; of an image with transparency, what is transparent.",
)
MASK_INVERT: Final = Input(
    name="mask_invert",
    type="boolean",
    label="Invert the mask",
    help="The mask shows what is to be kept.",
    default=False,
    group="Mask",
    advanced=True,
)
MASK_AREA: Final = Input(
    name="mask_area",
    type="choice",
    label="Area",
    help="`masked` draws the mask's surroundings alone, at the model's full size.",
    choices=("whole", "masked"),
    default="whole",
    group="Mask",
)
MASK_PADDING: Final = Input(
    name="mask_padding",
    type="integer",
    label="Padding",
    help="Pixels around the mask that are seen when only the masked area is drawn.",
    minimum=0,
    maximum=1024,
    default=32,
    group="Mask",
    advanced=True,
)
MASK_FEATHER: Final = Input(
    name="mask_feather",
    type="integer",
    label="Feather",
    help="Pixels over which the new goes over into the old, beyond the mask.",
    minimum=0,
    maximum=31,
    default=8,
    group="Mask",
    advanced=True,
)
OUTPAINT: Final = Input(
    name="outpaint",
    type="group",
    label="Extend",
    help="Pixels to add at each side of the start image.",
    fields=(
        Input(name="left", label="Left", **_SIDE),
        Input(name="top", label="Top", **_SIDE),
        Input(name="right", label="Right", **_SIDE),
        Input(name="bottom", label="Bottom", **_SIDE),
    ),
)
REFERENCE_IMAGES: Final = Input(
    name="reference_images",
    type="list",
    role="reference_image",
    label="Reference images",
    help="What the prompt speaks of, for models that edit.",
    max_length=REFERENCES_MAX,
    items=Input(name="image", type="image", label="Image", required=True),
)
HIRES: Final = Input(
    name="hires",
    type="group",
    label="Second pass",
    help="Enlarges the image and draws it once more, for details.",
    advanced=True,
    fields=(
        Input(name="scale", type="number", label="Scale", minimum=1, maximum=4, default=1.5),
        Input(
            name="method",
            type="choice",
            label="Enlarged",
            help="`model`: by an upscale model; `latent`: before decoding, needs more denoise.",
            choices=("latent", "model"),
        ),
        Input(
            name="model",
            type="model",
            label="Upscale model",
            folder="upscale_models",
            choices_from=_UPSCALERS,
        ),
        Input(name="steps", type="integer", label="Steps", minimum=1, maximum=STEPS_MAX),
        Input(name="denoise", label="Denoise", **_SHARE),
    ),
)
LORAS: Final = Input(
    name="loras",
    type="list",
    role="lora",
    label="LoRAs",
    max_length=LORAS_MAX,
    items=Input(
        name="lora",
        type="group",
        fields=(
            Input(
                name="name",
                type="model",
                label="LoRA",
                folder="loras",
                choices_from=ChoicesFrom(node_class="LoraLoader", field="lora_name"),
                required=True,
            ),
            Input(name="strength", label="Strength", default=1.0, **_STRENGTH),
            Input(name="strength_clip", label="Of the text encoder", **_STRENGTH),
        ),
    ),
)
CONTROLS: Final = Input(
    name="controls",
    type="list",
    role="control_image",
    label="Controls",
    max_length=CONTROLS_MAX,
    items=Input(
        name="control",
        type="group",
        fields=(
            Input(name="image", type="image", label="Image", required=True),
            Input(
                name="model",
                type="model",
                label="ControlNet",
                folder="controlnet",
                choices_from=_CONTROL_NETS,
                required=True,
            ),
            Input(name="type", type="choice", label="Shows", choices=CONTROL_TYPES, default="auto"),
            Input(
                name="preprocess",
                type="choice",
                label="Preprocessor",
                help="How the image becomes a control image; `none`: it is one.",
                choices=PREPROCESSORS,
                default="none",
            ),
            Input(
                name="strength", type="number", label="Strength", minimum=0, maximum=10, default=1.0
            ),
            Input(name="start", label="From", default=0.0, **_SHARE),
            Input(name="end", label="To", default=1.0, **_SHARE),
        ),
    ),
)
CLIP_SKIP: Final = Input(
    name="clip_skip",
    type="integer",
    label="Clip skip",
    help="The text encoder's layer, counted from the last; 1 is the last. SD1.5 and SDXL.",
    minimum=1,
    maximum=24,
    advanced=True,
)
VAE: Final = Input(
    name="vae",
    type="model",
    role="vae",
    label="VAE",
    folder="vae",
    choices_from=ChoicesFrom(node_class="VAELoader", field="vae_name"),
    advanced=True,
)
TEXT_ENCODERS: Final = Input(
    name="text_encoders",
    type="list",
    role="text_encoder",
    label="Text encoders",
    max_length=4,
    advanced=True,
    items=Input(
        name="text_encoder",
        type="model",
        label="Text encoder",
        folder="text_encoders",
        choices_from=_ENCODERS,
        required=True,
    ),
)
REFINER: Final = Input(
    name="refiner",
    type="group",
    label="Refiner",
    help="Another checkpoint of the same kind draws the last steps.",
    advanced=True,
    fields=(
        Input(
            name="model",
            type="model",
            label="Model",
            folder="checkpoints",
            choices_from=_MODELS[0],
            required=True,
        ),
        Input(name="switch_at", label="Switch at", default=0.8, **_SHARE),
    ),
)
WILDCARDS: Final = Input(
    name="wildcards",
    type="boolean",
    label="Draw wildcards",
    help="`{a|b}` and `__list__` in the prompts are drawn, by the seed.",
    default=False,
    advanced=True,
)
SCALE: Final = Input(name="scale", type="number", label="Scale", minimum=1, maximum=8, default=2.0)
UPSCALER: Final = Input(
    name="model",
    type="model",
    role="model",
    label="Upscale model",
    folder="upscale_models",
    choices_from=_UPSCALERS,
)
DETAIL: Final = Input(
    name="detail",
    role="denoise",
    label="Detail",
    help="How much is drawn anew; 0 enlarges by the upscale model alone.",
    default=0.0,
    **_SHARE,
)
DETAIL_MODEL: Final = Input(
    name="detail_model",
    type="model",
    label="Model for the detail",
    folder="checkpoints",
    choices_from=_MODELS,
    advanced=True,
)
