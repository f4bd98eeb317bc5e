"""Control images: made from pictures where that is asked for, and applied by their models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from comfy.graph import ConditioningHandle, Handle, ImageHandle, MaskHandle, ModelHandle
from comfy.workflows.building.job import Job
from comfy.workflows.building.loading import Loaded
from comfy.workflows.building.pictures import cut, scaled
from comfy.workflows.building.preprocessing import preprocessed, with_hole
from comfy.workflows.building.starting import Start
from comfy.workflows.building.texts import Texts
from comfy.workflows.builtin.recipe import ControlKind
from comfy.workflows.layout import Size

UNION_TYPES: Final[Mapping[str, str]] = {
    "pose": "openpose",
    "depth": "depth",
    "scribble": "hed/pidi/scribble/ted",
    "soft_edge": "hed/pidi/scribble/ted",
    "canny": "canny/lineart/anime_lineart/mlsd",
    "lineart": "canny/lineart/anime_lineart/mlsd",
    "normal": "normal",
    "segmentation": "segment",
    "tile": "tile",
    "blur": "tile",
    "inpaint": "repaint",
}
"""What SetUnionControlNetType calls them (ComfyUI's comfy/cldm/control_types.py); else "auto"."""
PIXEL_BASES: Final[Mapping[str, bool]] = {"sd15": False, "sdxl": True}
"""Whose ControlNets for inpainting see the mask in the picture, and whether as black."""


class ControlNetHandle(Handle):
    """A ControlNet (``CONTROL_NET``)."""


class PatchHandle(Handle):
    """A model patch (``MODEL_PATCH``)."""


@dataclass(frozen=True)
class _Control:
    """One control with its image as large as the sampling; ``mask`` where it fills one in."""

    given: Mapping[str, Any]
    kind: ControlKind
    image: ImageHandle
    mask: MaskHandle | None = None


def with_controls(
    job: Job, loaded: Loaded, texts: Texts, start: Start | None, size: Size
) -> tuple[Loaded, Texts]:
    """Apply the controls in their order, their images scaled to ``size``, that of the sampling."""
    given = job.values.get("controls") or ()
    for one, kind in zip(given, job.recipe.controls, strict=True):
        control = _control(job, one, kind, start, size)
        if kind in ("patch", "inpaint_patch"):
            loaded = replace(loaded, model=_patched(job, loaded, control))
        else:
            texts = _applied(job, loaded, texts, control)
    return loaded, texts


def _control(
    job: Job, given: Mapping[str, Any], kind: ControlKind, start: Start | None, size: Size
) -> _Control:
    """Returns a control; one that fills in a mask sees the start image, as it is sampled."""
    fills = kind in ("inpaint", "inpaint_patch") or given["type"] == "inpaint"
    if fills and start is not None and start.mask is not None:
        image = scaled(job.graph, start.image, size, known=start.layout.work, crop="disabled")
        return _Control(given, kind, image, start.mask)
    largest = job.recipe.hires or job.size
    picture = job.graph.load_image(given["image"])
    image = preprocessed(job.graph, picture, given["preprocess"], largest)
    return _Control(given, kind, _fitting(job, image, start, size))


def _fitting(job: Job, image: ImageHandle, start: Start | None, size: Size) -> ImageHandle:
    """Returns the part of a control image that is sampled: it is one of the whole picture."""
    if start is None or start.layout.crop.size == start.layout.padded:
        return scaled(job.graph, image, size)
    layout = start.layout
    whole = scaled(job.graph, image, layout.padded)
    part = cut(job.graph, whole, layout.crop, layout.padded)
    return scaled(job.graph, part, size, known=layout.crop.size, crop="disabled")


# --- model patches


def _patched(job: Job, loaded: Loaded, control: _Control) -> ModelHandle:
    name = job.family.control_patch
    assert name is not None  # a request with a patch for another family is refused
    patch = job.graph.shared(PatchHandle, "ModelPatchLoader", name=control.given["model"])
    return job.graph.one(
        ModelHandle,
        name,
        model=loaded.model,
        model_patch=patch,
        strength=control.given["strength"],
        **_patch_inputs(name, loaded, control),
    )


def _patch_inputs(name: str, loaded: Loaded, control: _Control) -> dict[str, Any]:
    """Returns what the node takes beside model, patch and strength: each takes something else."""
    masked = {} if control.mask is None else {"mask": control.mask}
    if name == "AnimaLLLiteApply":
        span = {"start_percent": control.given["start"], "end_percent": control.given["end"]}
        return {"image": control.image, **span, **masked}
    if name == "ZImageFunControlnet" and masked:
        return {"vae": loaded.vae, "inpaint_image": control.image, **masked}
    return {"vae": loaded.vae, "image": control.image, **masked}


# --- ControlNets


def _applied(job: Job, loaded: Loaded, texts: Texts, control: _Control) -> Texts:
    given = control.given
    masked: dict[str, Handle] = {}
    image, class_type = control.image, "ControlNetApplyAdvanced"
    if control.mask is not None and control.kind == "inpaint":
        class_type, masked = "ControlNetInpaintingAliMamaApply", {"mask": control.mask}
    elif control.mask is not None and job.family.base in PIXEL_BASES:
        is_black = PIXEL_BASES[job.family.base]
        image = with_hole(job.graph, image, control.mask, is_black=is_black)
    made = job.graph.add(
        class_type,
        outputs=2,
        positive=texts.positive,
        negative=texts.negative,
        control_net=_net(job, control),
        vae=loaded.vae,  # those that work on latents need it, the others ignore it
        image=image,
        strength=given["strength"],
        start_percent=given["start"],
        end_percent=given["end"],
        **masked,
    )
    node = made[0].node_id
    return Texts(ConditioningHandle(node, 0), ConditioningHandle(node, 1))


def _net(job: Job, control: _Control) -> ControlNetHandle:
    given = control.given
    net = job.graph.shared(ControlNetHandle, "ControlNetLoader", control_net_name=given["model"])
    if control.kind != "union":
        return net
    named = given["type"] if given["type"] != "auto" else given["preprocess"]
    shown = UNION_TYPES.get(named, "auto")
    return job.graph.shared(ControlNetHandle, "SetUnionControlNetType", control_net=net, type=shown)
