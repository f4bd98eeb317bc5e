"""Which part of the start image is sampled, and at which size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from comfy.families.family import Family
from comfy.workflows.builtin.recipe import Layout
from comfy.workflows.known import Mask, Pictures
from comfy.workflows.layout import Box, Size, around, for_whole, growth, of_area, rounded
from core.problems import FieldProblem
from core.wording import mask_misfit
from core.workflows.limits import PIXELS_MAX

SIDES: Final = ("left", "top", "right", "bottom")
LARGEST_SIDE: Final = 16_384
"""Pixels: ComfyUI's own limit."""
_LOOKS: Final = 16
"""How often the surroundings of a mask are made larger, until all of its soft edge is inside."""
_Loc = tuple[str | int, ...]


class UnusablePictureError(ValueError):
    """A file that does not go with the others; ``problem`` says why."""

    def __init__(self, loc: _Loc, code: str, said: str) -> None:
        super().__init__(said)
        self.problem = FieldProblem(loc, code, said)


@dataclass(frozen=True)
class Laid:
    """Where is sampled; ``mask`` is the reference of the mask as graphs take it."""

    layout: Layout
    mask: str | None = None


def layout_of(values: Mapping[str, Any], family: Family, pictures: Pictures) -> Laid | None:
    """Returns the layout of a request with a start image; None without one.

    What is not there counts as a picture of the family's own size: what checks references says that
    it is missing. Raises UnusablePictureError with the codes ``mask_size``, ``empty_mask``,
    ``too_many_pixels``, and those of the pictures.
    """
    reference = values.get("init_image")
    if not isinstance(reference, str):
        return None
    source = size_of(reference, family, pictures)
    if values.get("outpaint"):
        laid = Laid(_extended(source, values["outpaint"], family))
    elif values.get("mask"):
        laid = _masked(source, values, family, pictures)
    else:
        laid = Laid(_whole(source, values.get("width"), values.get("height"), family))
    if laid.layout.pastes:
        at = "outpaint" if values.get("outpaint") else "init_image"
        _check_size(laid.layout.padded, values.get("batch_size") or 1, at)
    return laid


def size_of(reference: str, family: Family, pictures: Pictures) -> Size:
    """Returns a picture's size; of one that is not there, the family's own."""
    own = family.defaults
    return pictures.size(reference) or Size(own.width, own.height)


def _check_size(size: Size, many: int, at: str) -> None:
    if max(size) > LARGEST_SIDE or size.pixels * many > PIXELS_MAX:
        said = (
            f"each result would have {size.width} × {size.height} pixels; at most {LARGEST_SIDE} "
            f"at a side are possible, and {PIXELS_MAX} of all images together"
        )
        raise UnusablePictureError((at,), "too_many_pixels", said)


def _whole(source: Size, width: int | None, height: int | None, family: Family) -> Layout:
    multiple = family.size_multiple
    if width is None and height is None:
        work = for_whole(source, family.pixels, multiple)
    else:
        work = _asked(source, width, height, multiple)
    # Where the shapes differ, scaling takes the middle.
    return Layout(source=source, padded=source, crop=Box.of(source), work=work)


def _asked(source: Size, width: int | None, height: int | None, multiple: int) -> Size:
    """Returns the size that is asked for; a missing side follows from the image's shape."""
    shape = source.width / source.height
    if width is None:
        width = round((height or 0) * shape)
    elif height is None:
        height = round(width / shape)
    return rounded(width, height or 0, multiple)


def _extended(source: Size, sides: Mapping[str, int], family: Family) -> Layout:
    left, top, right, bottom = (sides.get(side) or 0 for side in SIDES)
    padded = Size(source.width + left + right, source.height + top + bottom)
    work = for_whole(padded, family.pixels, family.size_multiple)
    return Layout(source=source, padded=padded, crop=Box.of(padded), work=work, pastes=True)


def _masked(source: Size, values: Mapping[str, Any], family: Family, pictures: Pictures) -> Laid:
    mask = pictures.mask(values["mask"], invert=bool(values.get("mask_invert")))
    if mask is None:
        box, reference = Box.of(source), values["mask"]
    else:
        box, reference = _checked(mask, source), mask.reference
    if values.get("mask_area") == "masked":
        crop, work = _surroundings(box, values, family, source)
    else:
        crop = Box.of(source)
        work = for_whole(source, family.pixels, family.size_multiple)
    return Laid(Layout(source=source, padded=source, crop=crop, work=work, pastes=True), reference)


def _checked(mask: Mask, source: Size) -> Box:
    if mask.size != source:
        said = mask_misfit(f"{mask.size}", f"{source}")
        raise UnusablePictureError(("mask",), "mask_size", said)
    if mask.box is None:
        said = "nothing of the mask is white: white is what is drawn anew (see `mask_invert`)"
        raise UnusablePictureError(("mask",), "empty_mask", said)
    return mask.box


def _surroundings(
    box: Box, values: Mapping[str, Any], family: Family, source: Size
) -> tuple[Box, Size]:
    """Returns the part around a mask that is sampled, and at which size.

    It has the padding around the mask with all of its soft edge. How far a mask grows depends on
    the part's size, so the part is made larger until it fits.
    """
    feather = values.get("mask_feather") or 0
    padding = values.get("mask_padding") or 0
    smallest = min(family.defaults.width, family.defaults.height) // 2
    grown = feather
    for _ in range(_LOOKS):
        crop = around(box, padding + grown + feather, smallest, source)
        work = of_area(crop.size, family.pixels, family.size_multiple)
        wanted = growth(feather, family.size_multiple, crop.size, work)
        if wanted <= grown:
            break
        grown = wanted
    return crop, work
