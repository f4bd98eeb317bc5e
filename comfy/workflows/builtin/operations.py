"""Which inputs go together: an operation is chosen by its inputs being there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from comfy.families.family import Family
from comfy.workflows.builtin.models import Chosen
from core.problems import FieldProblem

_NEEDS: Final[Mapping[str, tuple[str, str]]] = {
    "mask": ("init_image", "a mask needs the image that it is for"),
    "outpaint": ("init_image", "there is no image to extend"),
    "denoise": (
        "init_image",
        "there is no image to start from; `hires` has a `denoise` of its own",
    ),
}
"""Inputs that mean nothing without another one, and what to say then."""
_NEVER_BOTH: Final[tuple[tuple[str, str, str], ...]] = (
    ("mask", "outpaint", "what outpainting adds is its mask: leave the mask out"),
    ("outpaint", "reference_images", "an image is either extended or edited"),
    ("width", "mask", "with a mask the size is the image's: leave width and height out"),
    ("height", "mask", "with a mask the size is the image's: leave width and height out"),
    ("width", "outpaint", "the size follows from what is added: leave width and height out"),
    ("height", "outpaint", "the size follows from what is added: leave width and height out"),
)

_CONCERNED: Final = frozenset(_NEEDS)
"""A request without any of these has nothing that could be unfitting."""


def unfitting(given: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """Yields what is wrong with the inputs of a request together, whatever its model.

    Codes: ``needs_input``, ``excluded``, ``nothing_added``.
    """
    if _CONCERNED.isdisjoint(given):
        return
    for name, (needed, said) in _NEEDS.items():
        if _is_there(given, name) and not _is_there(given, needed):
            yield FieldProblem((name,), "needs_input", f"{said}: give `{needed}`")
    for one, other, said in _NEVER_BOTH:
        if _is_there(given, one) and _is_there(given, other):
            yield FieldProblem((one,), "excluded", said)
    sides = given.get("outpaint")
    if isinstance(sides, Mapping) and not any(sides.values()):
        said = "nothing is added at any side: give the pixels for `left`, `top`, `right`, `bottom`"
        yield FieldProblem(("outpaint",), "nothing_added", said)


def unable(given: Mapping[str, Any], chosen: Chosen) -> Iterator[FieldProblem]:
    """Yields what a model cannot do of what is asked for.

    Codes: ``cannot_edit``, ``too_many_references``, ``needs_input``, ``excluded``.
    """
    family, model = chosen.family, chosen.file.name
    references = given.get("reference_images") or ()
    if references and family.edit is None:
        said = (
            f"{model} is {family.title}, which takes no reference images: choose a model that edits"
        )
        yield FieldProblem(("reference_images",), "cannot_edit", said)
    elif references:
        yield from _too_many(given, family)
    if family.needs_reference and not references and not _is_there(given, "init_image"):
        said = f"{model} is {family.title}, which changes images: give `reference_images`"
        yield FieldProblem(("reference_images",), "needs_input", said)
    masked = _is_there(given, "mask") or _is_there(given, "outpaint")
    if family.inpaints_by_conditioning and not masked:
        said = f"{model} is {family.title}, which fills in masks: give `init_image` and `mask`"
        yield FieldProblem(("mask",), "needs_input", said)
    if given.get("refiner") and family.base != "sdxl":
        said = f"{family.title} has no refiner"
        yield FieldProblem(("refiner",), "excluded", said)


def _too_many(given: Mapping[str, Any], family: Family) -> Iterator[FieldProblem]:
    """A start image of which a part is drawn anew is one of the images that the model looks at."""
    references = given["reference_images"]
    own = _is_there(given, "mask") or _is_there(given, "outpaint")
    # Kontext sees those of the request stitched into one.
    most = max(1, family.references_max) - own
    if len(references) > most:
        said = f"{family.title} takes {family.references_max} images at most"
        if own:
            said = f"{said}, and the start image is one of them"
        yield FieldProblem(("reference_images",), "too_many_references", said)


def _is_there(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    return value is not None and value != []
