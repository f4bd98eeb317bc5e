"""How much work a generation is, in megapixel-steps: rendering time is proportional to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

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


def cost_of(workflow: Workflow, values: Mapping[str, Any]) -> float:
    """Returns the work of a generation with these values."""
    steps, width, height, many, frames = (_number(workflow, role, values) for role in _USUAL)
    pictures = max(1.0, frames / FRAMES_A_PICTURE)
    return steps * width * height * many * pictures / 1e6


def _number(workflow: Workflow, role: Role, values: Mapping[str, Any]) -> float:
    name = workflow.roles.get(role)
    value = values.get(name) if name is not None else None
    known = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return float(value) if known and value is not None else _USUAL[role]
