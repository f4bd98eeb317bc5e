"""What a built-in workflow's graph is made from, besides the request's values.

It is derived when a request is accepted, from what is known then of models and pictures, and kept
in the plan: the worker that builds the graph derives nothing anew, so a retry builds the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from comfy.families.models import Trait
from comfy.workflows.layout import Box, Size

ControlKind = Literal["net", "union", "inpaint", "patch", "inpaint_patch"]
"""How a control's file is applied: a ControlNet, one for several kinds, one that takes a mask, a
model patch, a model patch that takes a mask."""


class Layout(BaseModel):
    """Where an image is sampled that starts from another one. All in pixels.

    ``source`` is the start image's size; ``padded`` the same with what outpainting adds (equal to
    it otherwise). ``crop`` is the part of the padded image that is sampled, ``work`` the size at
    which it is. ``pastes``: what was sampled is scaled back to ``crop`` and pasted into the padded
    image, else the result has the size ``work``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: Size
    padded: Size
    crop: Box
    work: Size
    pastes: bool = False


class Recipe(BaseModel):
    """What is known of a request's models and pictures.

    ``family`` is a row's name; ``folder`` is the model's, of ComfyUI's model folders; ``traits``
    are the file's. ``controls`` are those of the request, by their place. ``references`` are the
    sizes to which the reference images are scaled, one for each of them. ``hires`` is the size of
    the second pass.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    family: str = "sd15"
    folder: str = "checkpoints"
    traits: frozenset[Trait] = frozenset()
    layout: Layout | None = None
    controls: tuple[ControlKind, ...] = ()
    references: tuple[Size, ...] = ()
    hires: Size | None = None

    def stored(self) -> dict[str, Any]:
        """Returns what a plan keeps of it: what is not as usual, in an order that is always one."""
        told = self.model_dump(mode="json", exclude_defaults=True)
        return {"family": self.family, **told} | (
            {"traits": sorted(self.traits)} if self.traits else {}
        )

    @classmethod
    def read(cls, data: Mapping[str, Any] | None) -> Self:
        """Returns a stored recipe; that of a plain SD1.5 checkpoint for none."""
        return cls.model_validate(dict(data or {}))
