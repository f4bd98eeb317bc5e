"""Control images: made from pictures where that is asked for, and applied by their models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from comfy.families.family import Family
from comfy.graph import ConditioningHandle, GraphBuilder, Handle, ImageHandle, ModelHandle
from comfy.workflows.building.loading import Loaded
from comfy.workflows.building.pictures import load_image, scaled
from comfy.workflows.building.preprocessing import preprocessed
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


class ControlNetHandle(Handle):
    """A ControlNet (``CONTROL_NET``)."""


class PatchHandle(Handle):
    """A model patch (``MODEL_PATCH``)."""


def with_controls(
    graph: GraphBuilder,
    controls: Sequence[Mapping[str, Any]],
    kinds: Sequence[ControlKind],
    loaded: Loaded,
    texts: Texts,
    family: Family,
    size: Size,
) -> tuple[Loaded, Texts]:
    """Apply the controls in their order, their images scaled to ``size``, that of the sampling."""
    for control, kind in zip(controls, kinds, strict=True):
        image = preprocessed(graph, load_image(graph, control["image"]), control["preprocess"])
        fitting = scaled(graph, image, Size(0, 0), size)
        if kind == "patch":
            loaded = _patched(graph, loaded, control, fitting, family)
        else:
            texts = _applied(graph, texts, loaded, control, fitting, is_union=kind == "union")
    return loaded, texts


def _patched(
    graph: GraphBuilder,
    loaded: Loaded,
    control: Mapping[str, Any],
    image: ImageHandle,
    family: Family,
) -> Loaded:
    patch = graph.one(PatchHandle, "ModelPatchLoader", name=control["model"])
    assert family.control_patch is not None  # resolving has refused it otherwise
    model = graph.one(
        ModelHandle,
        family.control_patch,
        model=loaded.model,
        model_patch=patch,
        vae=loaded.vae,
        image=image,
        strength=control["strength"],
        start_percent=control["start"],
        end_percent=control["end"],
    )
    return replace(loaded, model=model)


def _applied(
    graph: GraphBuilder,
    texts: Texts,
    loaded: Loaded,
    control: Mapping[str, Any],
    image: ImageHandle,
    *,
    is_union: bool,
) -> Texts:
    net = graph.one(ControlNetHandle, "ControlNetLoader", control_net_name=control["model"])
    if is_union:
        shown = UNION_TYPES.get(control["type"], "auto")
        net = graph.one(ControlNetHandle, "SetUnionControlNetType", control_net=net, type=shown)
    made = graph.add(
        "ControlNetApplyAdvanced",
        outputs=2,
        positive=texts.positive,
        negative=texts.negative,
        control_net=net,
        image=image,
        strength=control["strength"],
        start_percent=control["start"],
        end_percent=control["end"],
        vae=loaded.vae,  # those that work on latents need it, the others ignore it
    )
    return Texts(
        ConditioningHandle(made[0].node_id, 0),
        ConditioningHandle(made[0].node_id, 1),
    )
