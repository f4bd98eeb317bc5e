"""The pictures that a graph starts from: loaded, extended, cropped and scaled as laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from comfy.graph import GraphBuilder, ImageHandle, MaskHandle
from comfy.workflows.builtin.recipe import Layout
from comfy.workflows.layout import Box, Size

METHOD: Final = "lanczos"
_GROW_MIN: Final = 8
"""Pixels: a mask that is thinner than a cell of the latent may vanish when it is scaled to that."""


@dataclass(frozen=True)
class Start:
    """What sampling starts from. ``image`` is scaled to the layout's ``work`` size.

    ``whole`` is the picture that the result is pasted into. ``mask`` is what is changed, as large
    as the layout's crop: grown, with soft edges; None where all is.
    """

    image: ImageHandle
    whole: ImageHandle
    mask: MaskHandle | None = None


def start_of(graph: GraphBuilder, values: Mapping[str, Any], layout: Layout) -> Start:
    """Add the start image of the request, and its mask if there is one."""
    whole = load_image(graph, values["init_image"])
    mask: MaskHandle | None = None
    feather = values.get("mask_feather") or 0
    if values.get("outpaint"):
        whole, mask = _extended(graph, whole, values["outpaint"])
    elif values.get("mask"):
        mask = graph.one(MaskHandle, "LoadImageMask", image=values["mask"], channel="red")
    image = scaled(graph, cropped(graph, whole, layout), layout.crop.size, layout.work)
    if mask is None:
        return Start(image, whole)
    soft = softened(graph, _mask_cropped(graph, mask, layout), layout.crop.size, feather)
    return Start(image, whole, soft)


def load_image(graph: GraphBuilder, reference: str) -> ImageHandle:
    """``LoadImage`` of a file that the request refers to."""
    return graph.one(ImageHandle, "LoadImage", image=reference)


def scaled(graph: GraphBuilder, image: ImageHandle, size: Size, to: Size) -> ImageHandle:
    """Scale a picture; where the shapes differ, the middle of it is taken."""
    if size == to:
        return image
    return graph.one(
        ImageHandle,
        "ImageScale",
        image=image,
        upscale_method=METHOD,
        width=to.width,
        height=to.height,
        crop="center",
    )


def cropped(graph: GraphBuilder, image: ImageHandle, layout: Layout) -> ImageHandle:
    """Cut the part out that is sampled."""
    box = layout.crop
    if box == Box.of(layout.padded):
        return image
    return graph.one(ImageHandle, "ImageCrop", image=image, **box._asdict())


def pasted(
    graph: GraphBuilder, start: Start, made: ImageHandle, made_size: Size, layout: Layout, many: int
) -> ImageHandle:
    """Put what was sampled back into the picture, through the mask."""
    assert start.mask is not None  # only with a mask anything is pasted
    fitting = scaled(graph, made, made_size, layout.crop.size)
    whole = start.whole
    if many > 1:  # the node gives as many as the destination has
        whole = graph.one(ImageHandle, "RepeatImageBatch", image=whole, amount=many)
    return graph.one(
        ImageHandle,
        "ImageCompositeMasked",
        destination=whole,
        source=fitting,
        x=layout.crop.x,
        y=layout.crop.y,
        resize_source=False,
        mask=start.mask,
    )


def _extended(
    graph: GraphBuilder, image: ImageHandle, sides: Mapping[str, int]
) -> tuple[ImageHandle, MaskHandle]:
    made = graph.add(
        "ImagePadForOutpaint",
        outputs=2,
        image=image,
        **{side: sides.get(side, 0) for side in ("left", "top", "right", "bottom")},
        feathering=0,
    )
    return ImageHandle(made[0].node_id, 0), MaskHandle(made[0].node_id, 1)


def softened(graph: GraphBuilder, mask: MaskHandle, size: Size, feather: int) -> MaskHandle:
    """Returns the mask grown, with a soft edge: 0 from twice the feather beyond the edge on."""
    grow = max(feather, _GROW_MIN)
    grown = graph.one(MaskHandle, "GrowMask", mask=mask, expand=grow, tapered_corners=False)
    radius = min(feather, size.width - 1, size.height - 1)  # it reflects the picture at its sides
    if radius < 1:
        return grown
    image = graph.one(ImageHandle, "MaskToImage", mask=grown)
    # Its sigma is in units of the radius: at 0.5 the rim of the kernel weighs next to nothing.
    soft = graph.one(ImageHandle, "ImageBlur", image=image, blur_radius=radius, sigma=0.5)
    return graph.one(MaskHandle, "ImageToMask", image=soft, channel="red")


def _mask_cropped(graph: GraphBuilder, mask: MaskHandle, layout: Layout) -> MaskHandle:
    if layout.crop == Box.of(layout.padded):
        return mask
    return graph.one(MaskHandle, "CropMask", mask=mask, **layout.crop._asdict())
