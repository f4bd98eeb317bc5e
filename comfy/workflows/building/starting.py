"""The image that sampling starts from: extended, cut and scaled as laid out, and put back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comfy.graph import GraphBuilder, ImageHandle, MaskHandle
from comfy.workflows.building.job import Job
from comfy.workflows.building.pictures import Shape, cut, repeated, scaled
from comfy.workflows.builtin.recipe import Layout
from comfy.workflows.layout import Box, Size, growth

_SIDES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class Start:
    """What sampling starts from. ``image`` has the layout's ``work`` size.

    ``whole`` is the picture that the result is pasted into. ``mask`` is what is changed, as large
    as the layout's crop: grown, with soft edges; None where all is.
    """

    layout: Layout
    image: ImageHandle
    whole: ImageHandle
    mask: MaskHandle | None = None


def start_of(job: Job) -> Start | None:
    """Add the start image, and its mask if it has one; None for a request without."""
    layout = job.recipe.layout
    if layout is None:
        return None
    graph = job.graph
    whole, mask = _given(job)
    part = cut(graph, whole, layout.crop, layout.padded)
    # What is pasted is scaled back: stretched both times, it fits to a pixel.
    crop: Shape = "disabled" if layout.pastes else "center"
    image = scaled(graph, part, layout.work, known=layout.crop.size, crop=crop)
    if mask is None:
        return Start(layout, image, whole)
    part_of_mask = _cut_mask(graph, mask, layout)
    feather = job.values.get("mask_feather") or 0
    grown = growth(feather, job.family.size_multiple, layout.crop.size, layout.work)
    soft = softened(graph, part_of_mask, layout.crop.size, grown, feather)
    return Start(layout, image, whole, soft)


def _given(job: Job) -> tuple[ImageHandle, MaskHandle | None]:
    image = job.graph.load_image(job.values["init_image"])
    if job.values.get("outpaint"):
        return _extended(job.graph, image, job.values["outpaint"])
    if job.values.get("mask"):
        mask = job.values["mask"]
        return image, job.graph.load_mask(mask)
    return image, None


def _extended(
    graph: GraphBuilder, image: ImageHandle, sides: Mapping[str, int]
) -> tuple[ImageHandle, MaskHandle]:
    added = {side: sides.get(side) or 0 for side in _SIDES}
    # Its feathering takes a second for each megapixel; the mask is softened as any other.
    made = graph.add("ImagePadForOutpaint", outputs=2, image=image, **added, feathering=0)
    return ImageHandle(made[0].node_id, 0), MaskHandle(made[0].node_id, 1)


def _cut_mask(graph: GraphBuilder, mask: MaskHandle, layout: Layout) -> MaskHandle:
    if layout.crop == Box.of(layout.padded):
        return mask
    return graph.one(MaskHandle, "CropMask", mask=mask, **layout.crop._asdict())


def softened(
    graph: GraphBuilder, mask: MaskHandle, size: Size, grown: int, feather: int
) -> MaskHandle:
    """Returns the mask grown, with a soft edge: it is 0 beyond ``grown + feather`` pixels."""
    larger = graph.one(MaskHandle, "GrowMask", mask=mask, expand=grown, tapered_corners=False)
    radius = min(feather, size.width - 1, size.height - 1)  # it mirrors the picture at its sides
    if radius < 1:
        return larger
    image = graph.one(ImageHandle, "MaskToImage", mask=larger)
    # Its sigma is in units of the radius: at 0.5 the rim of the kernel weighs next to nothing.
    soft = graph.one(ImageHandle, "ImageBlur", image=image, blur_radius=radius, sigma=0.5)
    return graph.one(MaskHandle, "ImageToMask", image=soft, channel="red")


def pasted(job: Job, start: Start, made: ImageHandle, size: Size) -> ImageHandle:
    """Put what was sampled, of this size, back into the picture, through the mask.

    Without a mask, or where nothing is put back, the picture is what was made.
    """
    layout = start.layout
    if start.mask is None or not layout.pastes:
        return made
    fitting = scaled(job.graph, made, layout.crop.size, known=size, crop="disabled")
    return job.graph.one(
        ImageHandle,
        "ImageCompositeMasked",
        # The node gives as many pictures as the destination has.
        destination=repeated(job.graph, start.whole, job.many),
        source=fitting,
        x=layout.crop.x,
        y=layout.crop.y,
        resize_source=False,
        mask=start.mask,
    )
