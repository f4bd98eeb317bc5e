"""Enlarges pictures by an upscale model, to a size in pixels."""

from __future__ import annotations

from comfy.graph import GraphBuilder, Handle, ImageHandle
from comfy.workflows.building.pictures import scaled
from comfy.workflows.layout import Size


def enlarged(graph: GraphBuilder, image: ImageHandle, model: str | None, size: Size) -> ImageHandle:
    """Enlarge by a model, and scale to ``size``: a model's own factor is not told by anyone.

    Without a model it is scaled alone.
    """
    if model is None:
        return scaled(graph, image, Size(0, 0), size)
    loaded = graph.one(Handle, "UpscaleModelLoader", model_name=model)
    larger = graph.one(ImageHandle, "ImageUpscaleWithModel", upscale_model=loaded, image=image)
    return scaled(graph, larger, Size(0, 0), size)
