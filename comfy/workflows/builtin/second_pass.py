"""The second pass of a request: how the image is enlarged, and how it is drawn once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from comfy.catalogue import Catalogue
from comfy.workflows.layout import Size, rounded
from core.problems import FieldProblem
from core.workflows.limits import PIXELS_MAX, SIZE_MAX

SCALE: Final = 1.5
HIRES_DENOISE: Final[Mapping[str, float]] = {"latent": 0.55, "model": 0.4}
"""A latent that was enlarged is blurred: it needs more."""


def whole_hires(
    hires: Mapping[str, Any], steps: int, catalogue: Catalogue | None
) -> dict[str, Any]:
    """Returns the second pass with all that it leaves open; ``steps`` are those of the first.

    It enlarges by an upscale model where there is one: the one named, else the usual one.
    """
    model = hires.get("model") or (catalogue.upscaler if catalogue is not None else None)
    method = hires.get("method") or ("model" if model else "latent")
    denoise = hires.get("denoise")
    made = {
        "scale": hires.get("scale") or SCALE,
        "method": method,
        "model": model if method == "model" else None,
        "steps": hires.get("steps") or steps,
        "denoise": HIRES_DENOISE[method] if denoise is None else denoise,
    }
    return {name: value for name, value in made.items() if value is not None}


def hires_size(scale: float, first: Size, multiple: int) -> Size:
    """Returns the size of the second pass, in pixels."""
    return rounded(first.width * scale, first.height * scale, multiple)


def too_large(scale: float, first: Size, many: int) -> Iterator[FieldProblem]:
    """Yields the problem of a second pass that is larger than an image may be."""
    width, height = first.width * scale, first.height * scale
    if max(width, height) > SIZE_MAX or width * height * many > PIXELS_MAX:
        said = (
            f"the second pass would have {width:.0f} × {height:.0f} pixels; {SIZE_MAX} at a side "
            "are possible: ask for a smaller scale, or fewer images"
        )
        yield FieldProblem(("hires", "scale"), "too_many_pixels", said)
