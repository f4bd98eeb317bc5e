"""From a request's values and its recipe to ComfyUI's graph; pure: the same gives the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy.graph import Graph
from comfy.workflows.building.drawing import draw
from comfy.workflows.building.upscaling import upscale
from comfy.workflows.builtin.declarations import UPSCALE
from comfy.workflows.builtin.recipe import Recipe


def built(name: str, values: Mapping[str, Any], recipe: Recipe, filename_prefix: str) -> Graph:
    """Returns the graph of a request of the built-in workflow of that name."""
    make = upscale if name == UPSCALE.name else draw
    return make(values, recipe, filename_prefix)
