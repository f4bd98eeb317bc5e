"""The node classes of a built-in workflow's graph: what a ComfyUI must have for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from comfy.families.models import Trait
from comfy.workflows.building import built
from comfy.workflows.building.preprocessing import PREPROCESSORS
from comfy.workflows.builtin.recipe import Recipe

_PLAIN: Final = frozenset({
    "prompt", "negative_prompt", "model", "width", "height", "steps", "cfg", "guidance", "sampler",
    "scheduler", "seed", "batch_size", "text_encoders", "vae",
})  # fmt: skip
"""The inputs of a request for an image from a text alone."""
_GGUF: Final = "GGUF"


def classes_of(workflow: str, values: Mapping[str, Any], recipe: Recipe) -> tuple[str, ...]:
    """Returns the node classes of the graph that is built, in alphabetical order."""
    if recipe.layout is None and _PLAIN.issuperset(values):
        # Thousands of these are accepted at once, and most of their graphs are alike.
        encoders = tuple(values.get("text_encoders") or ())
        alike = (
            values["model"],
            encoders,
            values.get("vae"),
            values["cfg"] == 1,
            "guidance" in values,
        )
        return _classes_of_text(recipe.family, recipe.folder, recipe.traits, *alike)
    return _classes(workflow, values, recipe)


@lru_cache(maxsize=500)
def _classes_of_text(
    family: str,
    folder: str,
    traits: frozenset[Trait],
    model: str,
    encoders: tuple[str, ...],
    vae: str | None,
    is_cfg_1: bool,
    is_guided: bool,
) -> tuple[str, ...]:
    values: dict[str, Any] = {
        "prompt": "x", "negative_prompt": "x", "model": model, "width": 512, "height": 512,
        "steps": 1, "cfg": 1.0 if is_cfg_1 else 2.0, "sampler": "x", "scheduler": "x", "seed": 0,
        "batch_size": 1,
    }  # fmt: skip
    if encoders:
        values["text_encoders"] = list(encoders)
    if vae is not None:
        values["vae"] = vae
    if is_guided:
        values["guidance"] = 1.0
    return _classes("txt2img", values, Recipe(family=family, folder=folder, traits=traits))


def _classes(workflow: str, values: Mapping[str, Any], recipe: Recipe) -> tuple[str, ...]:
    graph = built(workflow, values, recipe, "")
    return tuple(sorted({node.class_type for node in graph.nodes.values()}))


def pack_of(class_type: str) -> str | None:
    """Returns the node pack that brings a class of these graphs, None for ComfyUI's own."""
    if class_type.endswith(_GGUF):
        return "ComfyUI-GGUF"
    return "comfyui_controlnet_aux" if class_type in _OF_AUX else None


_OF_AUX: Final = frozenset(
    one.class_type for name, one in PREPROCESSORS.items() if name != "canny"
) | {"InpaintPreprocessor"}
