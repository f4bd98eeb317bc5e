"""The graph of ``upscale``: by a model alone, or drawn once more for details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy.families.table import FAMILIES
from comfy.graph import Graph, ImageHandle, LatentHandle
from comfy.workflows.building.enlarging import enlarged
from comfy.workflows.building.job import Job
from comfy.workflows.building.loading import load
from comfy.workflows.building.pictures import scaled
from comfy.workflows.building.sampling import Run, sampled
from comfy.workflows.building.starting import Start
from comfy.workflows.building.texts import encode
from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.layout import Size, within


def upscale(values: Mapping[str, Any], recipe: Recipe, filename_prefix: str) -> Graph:
    """Returns the graph; the size of the picture is the layout's ``work``."""
    assert recipe.layout is not None  # there is a start image
    size = recipe.layout.work
    job = Job(_of_detail(values, recipe), recipe)
    image = job.graph.load_image(values["init_image"])
    if values["detail"] > 0:
        at = within(size, job.family.size_multiple)
        larger = enlarged(job.graph, image, values.get("model"), at)
        image = scaled(job.graph, _drawn(job, larger, at), size, known=at, crop="disabled")
    else:
        image = enlarged(job.graph, image, values.get("model"), size)
    job.graph.save_image(image, filename_prefix)
    return job.graph.build(expected_outputs=1, pixels=size.pixels)


def _of_detail(values: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Returns the values of what draws the details: those of its family where none are told."""
    own = FAMILIES[recipe.family].defaults
    usual = {
        "steps": own.steps,
        "cfg": own.cfg,
        "guidance": own.guidance,
        "sampler": own.sampler,
        "scheduler": own.scheduler,
        "prompt": "",
    }
    told = {name: value for name, value in values.items() if value is not None}
    return {**usual, **told, "model": values.get("detail_model")}


def _drawn(job: Job, image: ImageHandle, size: Size) -> ImageHandle:
    loaded = load(job)
    assert job.recipe.layout is not None  # the caller has seen it
    texts = encode(job, loaded, Start(job.recipe.layout, image, image))
    latent = job.graph.one(LatentHandle, "VAEEncode", pixels=image, vae=loaded.vae)
    run = Run(latent, size, job.values["steps"], job.values["detail"])
    return job.graph.vae_decode(sampled(job, loaded.model, texts, run), loaded.vae)
