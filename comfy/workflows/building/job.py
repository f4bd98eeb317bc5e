"""What a graph is built from, and the graph itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comfy.families.family import Family
from comfy.families.table import FAMILIES
from comfy.graph import GraphBuilder
from comfy.workflows.builtin.declarations import SAVER
from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.layout import Size


def _builder() -> GraphBuilder:
    return GraphBuilder(saver=SAVER)


@dataclass(frozen=True)
class Job:
    """A request's values and recipe. All that is built goes into ``graph``."""

    values: Mapping[str, Any]
    recipe: Recipe
    graph: GraphBuilder = field(default_factory=_builder)

    @property
    def family(self) -> Family:
        """The model's family."""
        return FAMILIES[self.recipe.family]

    @property
    def size(self) -> Size:
        """What is sampled at first, in pixels of the picture."""
        layout = self.recipe.layout
        return layout.work if layout else Size(self.values["width"], self.values["height"])

    @property
    def many(self) -> int:
        """How many pictures are made at once."""
        return self.values.get("batch_size") or 1

    @property
    def is_masked(self) -> bool:
        """Whether only a part of the start image is drawn anew."""
        values = self.values
        return self.recipe.layout is not None and bool(values.get("mask") or values.get("outpaint"))

    @property
    def inpaints_by_conditioning(self) -> bool:
        """Whether the model takes the mask beside the texts, as inpaint models do."""
        return self.family.inpaints_by_conditioning or "inpaint" in self.recipe.traits

    @property
    def hears_negative(self) -> bool:
        """Whether the negative prompt has an effect: at CFG 1 it is not computed."""
        return bool(self.values["cfg"] != 1)
