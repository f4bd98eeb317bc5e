"""How each control of a request is applied, by what is known of its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comfy.families.family import Family
from comfy.families.models import ModelFile
from comfy.workflows.building.controls import PIXEL_BASES
from comfy.workflows.builtin.models import find
from comfy.workflows.builtin.recipe import ControlKind
from comfy.workflows.known import Known
from core.problems import FieldProblem

_DEFAULTS: Final[Mapping[str, Any]] = {
    "type": "auto",
    "preprocess": "none",
    "strength": 1.0,
    "start": 0.0,
    "end": 1.0,
}


@dataclass(frozen=True)
class Control:
    """A control with every value as it is used, and its file."""

    values: Mapping[str, Any]
    file: ModelFile
    kind: ControlKind


def controls_of(given: Mapping[str, Any], family: Family, known: Known) -> tuple[Control, ...]:
    """Returns the controls of a request, in their order."""
    masked = bool(given.get("mask") or given.get("outpaint"))
    return tuple(_control(one, family, known, masked=masked) for one in given.get("controls") or ())


def _control(given: Mapping[str, Any], family: Family, known: Known, *, masked: bool) -> Control:
    file = find(given["model"], known, _folders(family))
    told = {name: value for name, value in given.items() if value is not None}
    values = {"image": given["image"], "model": given["model"], **_DEFAULTS, **told}
    fills = masked and "inpaint" in file.traits
    if file.folder == "model_patches":
        return Control(values, file, "inpaint_patch" if fills else "patch")
    if "union" in file.traits:
        return Control(values, file, "union")
    if fills and family.base in PIXEL_BASES:
        # It sees the mask in the picture: what says that it fills one in is its type.
        shown = "inpaint" if values["type"] == "auto" else values["type"]
        return Control({**values, "type": shown}, file, "net")
    return Control(values, file, "inpaint" if fills else "net")


def _folders(family: Family) -> Sequence[str]:
    """Returns where a ControlNet is looked for: first where the family has them."""
    folders = ("controlnet", "model_patches")
    return folders if family.has_controls else folders[::-1]


def unable_controls(controls: Sequence[Control], family: Family) -> Iterator[FieldProblem]:
    """Yields the problems of controls that the family has no way for: ``excluded``."""
    for at, control in enumerate(controls):
        loc = ("controls", at, "model")
        if control.file.folder == "model_patches":
            if family.control_patch is None:
                said = f"it is a model patch, and {family.title} takes none"
                yield FieldProblem(loc, "excluded", f"{said}: leave the control out")
        elif not family.has_controls:
            said = f"{family.title} takes no ControlNets"
            yield FieldProblem(loc, "excluded", f"{said}: leave the control out")
        if control.values["start"] > control.values["end"]:
            said = "`start` must not be after `end`"
            yield FieldProblem(("controls", at, "start"), "excluded", said)
