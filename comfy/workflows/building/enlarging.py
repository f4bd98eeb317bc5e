"""Enlarges pictures and latents to a size in pixels."""

from __future__ import annotations

from typing import Final

from comfy.graph import GraphBuilder, Handle, ImageHandle, LatentHandle
from comfy.workflows.building.job import Job
from comfy.workflows.building.pictures import scaled
from comfy.workflows.layout import Size

_EIGHTHS: Final = frozenset({"EmptyLatentImage", "EmptySD3LatentImage"})
"""The latents of these families have a cell for each 8 × 8 pixels, as LatentUpscale takes it."""


class UpscalerHandle(Handle):
    """An upscale model (``UPSCALE_MODEL``)."""


def enlarged(graph: GraphBuilder, image: ImageHandle, model: str | None, size: Size) -> ImageHandle:
    """Enlarge by a model, and scale to ``size``: a model's own factor is not told by anyone.

    Without a model it is scaled alone.
    """
    if model is not None:
        loaded = graph.shared(UpscalerHandle, "UpscaleModelLoader", model_name=model)
        image = graph.one(ImageHandle, "ImageUpscaleWithModel", upscale_model=loaded, image=image)
    return scaled(graph, image, size, crop="disabled")


def has_eighths(job: Job) -> bool:
    """Whether LatentUpscale gives latents of this family the size that it is told."""
    return job.family.latent in _EIGHTHS


def enlarged_latent(job: Job, latent: LatentHandle, size: Size) -> LatentHandle:
    """Enlarge a latent of a family that ``has_eighths``."""
    return job.graph.one(
        LatentHandle,
        "LatentUpscale",
        samples=latent,
        upscale_method="nearest-exact",
        width=size.width,
        height=size.height,
        crop="disabled",
    )
