"""Which part of the start image is sampled, and at which size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from comfy.families.family import Family
from comfy.workflows.builtin.recipe import Layout
from comfy.workflows.known import Mask, Pictures
from comfy.workflows.layout import Box, Size, around, for_whole, of_area, rounded
from core.problems import FieldProblem

_GROWN_MIN: Final = 8
_SIDES: Final = ("left", "top", "right", "bottom")


class UnusablePictureError(ValueError):
    """A file that does not go with the others; ``problem`` says why."""

    def __init__(self, loc: tuple[str | int, ...], code: str, said: str) -> None:
        super().__init__(said)
        self.problem = FieldProblem(loc, code, said)


def layout_of(values: Mapping[str, Any], family: Family, pictures: Pictures) -> Layout | None:
    """Returns the layout of a request with a start image; None without one.

    None also where the file is not there: what checks references says so. Raises
    UnusablePictureError with the codes ``mask_size``, ``empty_mask`` and ``too_many_pixels``.
    """
    reference = values.get("init_image")
    source = pictures.size(reference) if isinstance(reference, str) else None
    if source is None:
        return None
    if values.get("outpaint"):
        return _extended(source, values["outpaint"], family)
    if values.get("mask"):
        return _masked(source, values, family, pictures)
    work = for_whole(source, family.pixels, family.size_multiple)
    width, height = values.get("width"), values.get("height")
    if width is not None or height is not None:
        work = _asked(source, width, height, family.size_multiple)
    return Layout(source=source, padded=source, crop=_middle(source, work), work=work)


def _asked(source: Size, width: int | None, height: int | None, multiple: int) -> Size:
    """Returns the size that is asked for; a missing side follows from the image's shape."""
    if width is None:
        assert height is not None  # one of them is given
        width = round(height * source.width / source.height)
    elif height is None:
        height = round(width * source.height / source.width)
    return rounded(width, height, multiple)


def _middle(source: Size, work: Size) -> Box:
    """Returns the whole image: where the shapes differ, scaling takes the middle of it."""
    del work
    return Box.of(source)


def _extended(source: Size, sides: Mapping[str, int], family: Family) -> Layout:
    left, top, right, bottom = (sides.get(side) or 0 for side in _SIDES)
    padded = Size(source.width + left + right, source.height + top + bottom)
    if max(padded) > _LARGEST_SIDE:
        said = f"the extended image would have {padded.width} × {padded.height} pixels"
        raise UnusablePictureError(("outpaint",), "too_many_pixels", said)
    work = for_whole(padded, family.pixels, family.size_multiple)
    return Layout(source=source, padded=padded, crop=Box.of(padded), work=work, pastes=True)


_LARGEST_SIDE: Final = 16_384
"""Pixels: ComfyUI's own limit."""


def _masked(
    source: Size, values: Mapping[str, Any], family: Family, pictures: Pictures
) -> Layout | None:
    mask = pictures.mask(values["mask"], invert=bool(values.get("mask_invert")))
    if mask is None:
        return None
    box = _checked(mask, source)
    if values.get("mask_area") == "masked":
        crop = _surroundings(box, values, family, source)
        work = of_area(crop.size, family.pixels, family.size_multiple)
    else:
        crop = Box.of(source)
        work = for_whole(source, family.pixels, family.size_multiple)
    return Layout(source=source, padded=source, crop=crop, work=work, pastes=True)


def _checked(mask: Mask, source: Size) -> Box:
    if mask.size != source:
        said = (
            f"the mask has {mask.size.width} × {mask.size.height} pixels, the image "
            f"{source.width} × {source.height}: make them alike"
        )
        raise UnusablePictureError(("mask",), "mask_size", said)
    if mask.box is None:
        said = "nothing of the mask is white: white is what is drawn anew (see `mask_invert`)"
        raise UnusablePictureError(("mask",), "empty_mask", said)
    return mask.box


def _surroundings(box: Box, values: Mapping[str, Any], family: Family, source: Size) -> Box:
    feather = values.get("mask_feather") or 0
    padding = (values.get("mask_padding") or 0) + max(feather, _GROWN_MIN) + feather
    smallest = min(family.defaults.width, family.defaults.height) // 2
    return around(box, padding, smallest, source)
