"""What can be asked of a family, by an operation's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from comfy.families.family import Family
from comfy.families.table import FAMILIES
from tests.comfy.builtin.asking import IMAGE, MASK, OTHER, model

Inputs = dict[str, Any]


def _draws(family: Family) -> bool:
    return not family.inpaints_by_conditioning and not family.needs_reference


def _takes_image(family: Family) -> bool:
    return not family.inpaints_by_conditioning


def _always(family: Family) -> bool:
    return True


def _has_controls(family: Family) -> bool:
    return _draws(family) and (family.has_controls or family.control_patch is not None)


def _control(family: Family, **more: Any) -> Inputs:
    kind = "net" if family.has_controls else "patch"
    return {"image": OTHER, "model": f"{kind}-{family.base}.safetensors", **more}


def _edits_twice(family: Family) -> bool:
    return family.references_max > 1


OPERATIONS: Final[
    Mapping[str, tuple[str, Callable[[Family], Inputs], Callable[[Family], bool]]]
] = {
    "text": ("txt2img", lambda _: {"negative_prompt": "blurry", "batch_size": 2}, _draws),
    "image": ("img2img", lambda _: {"init_image": IMAGE}, _takes_image),
    "image_sized": (
        "img2img",
        lambda _: {"init_image": OTHER, "width": 520, "denoise": 0.25},
        _takes_image,
    ),
    "mask": ("inpaint", lambda _: {"init_image": IMAGE, "mask": MASK}, _always),
    "mask_area": (
        "inpaint",
        lambda _: {
            "init_image": IMAGE, "mask": MASK, "mask_area": "masked", "mask_invert": True,
            "mask_feather": 3, "mask_padding": 0, "hires": {"scale": 1.25},
        },
        _always,
    ),
    "outpaint": ("outpaint", lambda _: {"init_image": IMAGE, "outpaint": {"left": 64}}, _always),
    "edit": (
        "edit",
        lambda family: {"reference_images": [OTHER, IMAGE][: family.references_max]},
        lambda family: family.edit is not None,
    ),
    "edit_mask": (
        "txt2img",
        lambda _: {"init_image": IMAGE, "mask": MASK, "reference_images": [OTHER]},
        _edits_twice,
    ),
    "hires": ("txt2img", lambda _: {"hires": {}}, _draws),
    "hires_latent": (
        "txt2img",
        lambda _: {"hires": {"method": "latent", "steps": 7, "model": None}},
        _draws,
    ),
    "loras": (
        "txt2img",
        lambda family: {
            "prompt": f"a fox <lora:lora-{family.base}:0.5:0.25>",
            "loras": [{"name": f"lora-{family.base}.safetensors"}],
        },
        _draws,
    ),
    "controls": (
        "txt2img",
        lambda family: {"controls": [_control(family), _control(family, preprocess="depth")]},
        _has_controls,
    ),
    "words": (
        "txt2img",
        lambda _: {
            "prompt": "{a|b|c} (fox:1.2), embedding:easynegative", "wildcards": True,
            "negative_prompt": "{x|y}", "clip_skip": 2, "guidance": 3.0,
        },
        _draws,
    ),
    "refiner": (
        "txt2img",
        lambda _: {"refiner": {"model": "whole-sdxl.safetensors"}},
        lambda family: family.name == "sdxl",
    ),
    "upscale": ("upscale", lambda _: {"init_image": IMAGE}, lambda family: family.name == "sd15"),
    "detail": (
        "upscale",
        lambda family: {"init_image": IMAGE, "detail": 0.3, "detail_model": model(family.name)},
        _takes_image,
    ),
}  # fmt: skip


def asked_of(operation: str) -> Iterator[tuple[str, str, Inputs]]:
    """Yields the requests of an operation: the family's name, the workflow's, the inputs."""
    workflow, inputs, fits = OPERATIONS[operation]
    for name, family in FAMILIES.items():
        if fits(family):
            told = inputs(family)
            own = {} if workflow == "upscale" else {"model": model(name)}
            yield name, workflow, {**own, **told}
