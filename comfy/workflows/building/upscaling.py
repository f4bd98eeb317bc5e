"""The graph of ``upscale``: by a model alone, or drawn once more for details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy.families.table import FAMILIES
from comfy.graph import Graph, GraphBuilder, ImageHandle, LatentHandle
from comfy.workflows.building.enlarging import enlarged
from comfy.workflows.building.loading import load
from comfy.workflows.building.pictures import load_image
from comfy.workflows.building.sampling import Run, sampled
from comfy.workflows.building.texts import encode
from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.layout import Size


def upscale(values: Mapping[str, Any], recipe: Recipe, filename_prefix: str) -> Graph:
    """Returns the graph; the size is the layout's ``work``."""
    layout = recipe.layout
    assert layout is not None  # there is a start image
    graph = GraphBuilder()
    image = enlarged(graph, load_image(graph, values["init_image"]), values["model"], layout.work)
    if values["detail"] > 0:
        image = _drawn(graph, image, values, recipe, layout.work)
    graph.save_image(image, filename_prefix)
    return graph.build(expected_outputs=1, pixels=layout.work.pixels)


def _drawn(
    graph: GraphBuilder, image: ImageHandle, values: Mapping[str, Any], recipe: Recipe, size: Size
) -> ImageHandle:
    family = FAMILIES[recipe.family]
    own = {**values, "model": values["detail_model"], "negative_prompt": ""}
    loaded = load(graph, own, family, recipe)
    texts = encode(graph, own, loaded, family, recipe)
    latent = graph.one(LatentHandle, "VAEEncode", pixels=image, vae=loaded.vae)
    run = Run(latent, size, values["steps"], values["detail"])
    made = sampled(graph, own, loaded.model, texts, family, run)
    return graph.vae_decode(made, loaded.vae)
