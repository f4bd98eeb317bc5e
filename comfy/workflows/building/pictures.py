"""Pictures in a graph: loaded, cut, scaled, repeated."""

from __future__ import annotations

from typing import Final, Literal

from comfy.graph import GraphBuilder, ImageHandle
from comfy.workflows.layout import Box, Size

METHOD: Final = "lanczos"
Shape = Literal["center", "disabled"]
"""Where the shapes differ: the middle is taken, or the picture is stretched."""


def scaled(
    graph: GraphBuilder,
    image: ImageHandle,
    to: Size,
    *,
    known: Size | None = None,
    crop: Shape = "center",
) -> ImageHandle:
    """Scale a picture, unless ``known``, its size, is the wanted one."""
    if known == to:
        return image
    return graph.shared(
        ImageHandle,
        "ImageScale",
        image=image,
        upscale_method=METHOD,
        width=to.width,
        height=to.height,
        crop=crop,
    )


def cut(graph: GraphBuilder, image: ImageHandle, box: Box, whole: Size) -> ImageHandle:
    """Cut a part out of a picture of the size ``whole``."""
    if box == Box.of(whole):
        return image
    return graph.shared(ImageHandle, "ImageCrop", image=image, **box._asdict())


def repeated(graph: GraphBuilder, image: ImageHandle, many: int) -> ImageHandle:
    """Returns a batch of the same picture."""
    if many == 1:
        return image
    return graph.one(ImageHandle, "RepeatImageBatch", image=image, amount=many)
