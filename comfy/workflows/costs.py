"""How much work a generation is, in megapixel-steps: rendering time is proportional to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from comfy.families.table import FAMILIES
from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.layout import Size, within
from core.workflows.declaration import Role, Workflow

_USUAL: Final[Mapping[Role, float]] = {
    "steps": 20,
    "width": 1024,
    "height": 1024,
    "batch_size": 1,
    "length": 1,
}
"""What counts where a workflow leaves it open. ``length`` is a video's frames."""
FRAMES_A_PICTURE: Final = 4
"""Video models work on about a quarter of the frames: their latents are compressed in time."""
ENLARGING: Final = 2.0
"""An upscale model works about as long on a picture as so many steps of a sampler do."""


def cost_of(workflow: Workflow, values: Mapping[str, Any]) -> float:
    """Returns the work of a generation by an imported workflow with these values."""
    steps, width, height, many, frames = (_number(workflow, role, values) for role in _USUAL)
    pictures = max(1.0, frames / FRAMES_A_PICTURE)
    return steps * width * height * many * pictures / 1e6


def _number(workflow: Workflow, role: Role, values: Mapping[str, Any]) -> float:
    name = workflow.roles.get(role)
    value = values.get(name) if name is not None else None
    known = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return float(value) if known and value is not None else _USUAL[role]


def drawing_cost(values: Mapping[str, Any], recipe: Recipe) -> float:
    """Returns the work of a request of ``txt2img`` and its kind, of both passes."""
    layout = recipe.layout
    size = layout.work if layout is not None else Size(values["width"], values["height"])
    denoise = values.get("denoise", 1.0) if layout is not None else 1.0
    work = _drawn(values["steps"], denoise, size, recipe)
    hires = values.get("hires")
    if hires is not None and recipe.hires is not None:
        work += _drawn(hires["steps"], hires["denoise"], recipe.hires, recipe)
        if hires.get("model") is not None:
            work += ENLARGING * size.pixels
    # Where nothing is drawn, a picture is still read and written.
    return float(max(work, size.pixels) * values["batch_size"]) / 1e6


def upscale_cost(values: Mapping[str, Any], recipe: Recipe) -> float:
    """Returns the work of a request of ``upscale``."""
    layout = recipe.layout
    assert layout is not None  # there is a start image
    work = ENLARGING * layout.source.pixels if values.get("model") is not None else 0.0
    if values["detail"] > 0:
        size = within(layout.work, FAMILIES[recipe.family].size_multiple)
        work += _drawn(values["steps"], values["detail"], size, recipe)
    return max(work, float(layout.work.pixels)) / 1e6


def _drawn(steps: int, denoise: float, size: Size, recipe: Recipe) -> float:
    """KSampler takes all its steps whatever the denoise; other samplers only the last of them."""
    if denoise <= 0:
        return 0.0
    takes_all = FAMILIES[recipe.family].chain == "ksampler"
    return (steps if takes_all else max(1.0, steps * denoise)) * size.pixels
