"""Requests of every family and operation: their values and recipes, as resolving gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from comfy.families.family import Family
from comfy.families.models import Trait
from comfy.families.parts import find_vae
from comfy.families.table import FAMILIES
from comfy.graph import Graph
from comfy.workflows.building import built
from comfy.workflows.builtin.recipe import ControlKind, Layout, Recipe
from comfy.workflows.layout import Box, Size

IMAGE: Final = "start.png"
MASK: Final = "mask.png"
OTHER: Final = "other.png"
PREFIX: Final = "built/1"


@dataclass(frozen=True)
class Case:
    """One request. ``workflow`` is the built-in one that it names."""

    values: Mapping[str, Any]
    recipe: Recipe
    workflow: str = "txt2img"

    def graph(self, prefix: str = PREFIX) -> Graph:
        return built(self.workflow, self.values, self.recipe, prefix)

    def changed(self, **values: Any) -> Case:
        return replace(self, values={**self.values, **values})

    def with_recipe(self, **known: Any) -> Case:
        return replace(self, recipe=self.recipe.model_copy(update=known))


def model_of(family: Family) -> dict[str, Any]:
    """A family's model with the files beside it."""
    if family.parts is None:
        return {"model": f"{family.name}.safetensors"}
    vae = find_vae("pixel_space", ["pixel_space"]) if family.parts.vae == "pixel_space" else None
    return {
        "model": f"{family.name}.safetensors",
        "text_encoders": [f"{one}.safetensors" for one in family.parts.encoders],
        "vae": vae or f"{family.parts.vae}.safetensors",
    }


def text(family: Family) -> Case:
    """From a text alone."""
    own = family.defaults
    values = {
        "prompt": "a red fox",
        "negative_prompt": "blurry",
        **model_of(family),
        "width": own.width,
        "height": own.height,
        "steps": own.steps,
        "cfg": own.cfg,
        "sampler": own.sampler,
        "scheduler": own.scheduler,
        "seed": 5,
        "batch_size": 1,
    }
    if own.guidance is not None:
        values["guidance"] = own.guidance
    folder = "checkpoints" if family.parts is None else "diffusion_models"
    return Case(values, Recipe(family=family.name, folder=folder))


def whole(source: Size, work: Size, *, pastes: bool = False) -> Layout:
    return Layout(source=source, padded=source, crop=Box.of(source), work=work, pastes=pastes)


def image(family: Family) -> Case:
    """From another image, two at once."""
    work = Size(family.defaults.width, family.defaults.height)
    case = text(family).changed(init_image=IMAGE, denoise=0.6, batch_size=2)
    return case.with_recipe(layout=whole(Size(640, 480), work))


def masked(family: Family) -> Case:
    """Within a mask, of which the surroundings alone are sampled."""
    work = Size(family.defaults.width, family.defaults.height)
    crop = Box(64, 32, 256, 256)
    case = text(family).changed(init_image=IMAGE, mask=MASK, mask_feather=8, denoise=1.0)
    source = Size(640, 480)
    return case.with_recipe(
        layout=Layout(source=source, padded=source, crop=crop, work=work, pastes=True)
    )


def extended(family: Family) -> Case:
    """Beyond the sides of an image."""
    sides = {"left": 64, "top": 0, "right": 128, "bottom": 0}
    case = text(family).changed(init_image=IMAGE, outpaint=sides, mask_feather=8, denoise=1.0)
    padded = Size(832, 480)
    return case.with_recipe(
        layout=Layout(
            source=Size(640, 480), padded=padded, crop=Box.of(padded), work=padded, pastes=True
        )
    )


def twice(family: Family) -> Case:
    """Drawn, enlarged by a model and drawn once more."""
    own = family.defaults
    hires = {"scale": 1.5, "method": "model", "model": "4x.pth", "steps": 8, "denoise": 0.4}
    size = Size(own.width * 3 // 2, own.height * 3 // 2)
    return text(family).changed(hires=hires).with_recipe(hires=size)


def twice_latent(family: Family) -> Case:
    """The same, enlarged before it is decoded."""
    hires = {"scale": 1.5, "method": "latent", "model": None, "steps": 8, "denoise": 0.55}
    return twice(family).changed(hires=hires)


def with_loras(family: Family) -> Case:
    """With two LoRAs, one of them for the text encoder in another strength."""
    loras = [
        {"name": "a.safetensors", "strength": 0.8},
        {"name": "b.safetensors", "strength": -0.3, "strength_clip": 0.0},
    ]
    return text(family).changed(loras=loras)


def control(model: str = "cn.safetensors", **changes: Any) -> dict[str, Any]:
    return {
        "image": OTHER,
        "model": model,
        "type": "auto",
        "preprocess": "none",
        "strength": 0.8,
        "start": 0.0,
        "end": 0.9,
        **changes,
    }


def controlled(family: Family) -> Case:
    """With every kind of control that the family has, drawn twice."""
    kinds: list[ControlKind] = []
    if family.has_controls:
        kinds += ["net", "union"]
    if family.control_patch is not None:
        kinds.append("patch")
    controls = [
        control(f"{kind}.safetensors", preprocess="canny" if kind == "union" else "none")
        for kind in kinds
    ]
    return twice_latent(family).changed(controls=controls).with_recipe(controls=tuple(kinds))


def filled(family: Family) -> Case:
    """Within a mask, by controls that fill one in."""
    kinds: list[ControlKind] = []
    if family.has_controls:
        kinds.append("inpaint")
    if family.control_patch is not None:
        kinds.append("inpaint_patch")
    controls = [control(f"{kind}.safetensors", type="inpaint") for kind in kinds]
    return masked(family).changed(controls=controls).with_recipe(controls=tuple(kinds))


def edited(family: Family) -> Case:
    """As the prompt says of reference images."""
    count = min(2, family.references_max)
    case = text(family).changed(reference_images=[IMAGE, OTHER][:count])
    return case.with_recipe(references=(Size(1024, 768),) * count)


def edited_within(family: Family) -> Case:
    """Within a mask, with a reference image beside the start image."""
    case = masked(family)
    if family.references_max == 1:
        return case
    case = case.changed(reference_images=[OTHER])
    return case.with_recipe(references=(Size(1024, 768),))


def detailed(family: Family) -> Case:
    """Upscaled, and drawn once more."""
    own = model_of(family)
    values = {
        "init_image": IMAGE,
        "scale": 2.0,
        "model": "4x.pth",
        "detail": 0.3,
        "detail_model": own.pop("model"),
        "steps": 8,
        "seed": 5,
        **own,
    }
    recipe = replace(text(family)).recipe
    layout = whole(Size(321, 240), Size(642, 480))
    return Case(values, recipe.model_copy(update={"layout": layout}), "upscale")


def _always(family: Family) -> bool:
    return True


def _draws(family: Family) -> bool:
    return not family.inpaints_by_conditioning and not family.needs_reference


def _has_controls(family: Family) -> bool:
    return _draws(family) and (family.has_controls or family.control_patch is not None)


Operation = Callable[[Family], Case]
OPERATIONS: Final[Mapping[str, tuple[Operation, Callable[[Family], bool]]]] = {
    "text": (text, _draws),
    "image": (image, lambda family: not family.inpaints_by_conditioning),
    "mask": (masked, _always),
    "outpaint": (extended, _always),
    "hires_model": (twice, _draws),
    "hires_latent": (twice_latent, _draws),
    "loras": (with_loras, _draws),
    "controls": (controlled, _has_controls),
    "mask_controls": (filled, _has_controls),
    "edit": (edited, lambda family: family.edit is not None),
    "edit_mask": (edited_within, lambda family: family.edit is not None),
    "upscale": (detailed, lambda family: not family.inpaints_by_conditioning),
}
"""What can be asked for, and of which families."""


def cases(operation: str) -> Iterator[tuple[str, Case]]:
    """The requests of an operation, by the family's name."""
    make, fits = OPERATIONS[operation]
    yield from ((name, make(family)) for name, family in FAMILIES.items() if fits(family))


def checkpoint(family: Family, *traits: Trait) -> Case:
    """From a text, with everything in one file."""
    case = text(family)
    values = {k: v for k, v in case.values.items() if k not in ("text_encoders", "vae")}
    recipe = Recipe(family=family.name, traits=frozenset(traits))
    return Case(values, recipe)
