"""How each control of a request is applied, by what is known of its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comfy.families.family import Family
from comfy.families.models import ModelFile, Reason
from comfy.families.table import title_of
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


_SURE: Final[frozenset[Reason]] = frozenset({"setting", "header"})
"""What is no guess: the owner's word, and what the file's tensors say."""


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


def for_another(name: str, what: str, base: str | None, family: Family) -> str:
    """Returns that a file was made for models of another base, for people."""
    return f"{name} is a {what} for {title_of(base or '') or base}, and the model is {family.title}"


def unable_controls(controls: Sequence[Control], family: Family) -> Iterator[FieldProblem]:
    """Yields the problems of controls that the family has no way for.

    Codes: ``excluded``, and ``control_of_another_family`` for a file of which it is sure: ComfyUI
    fails with it, since its layers do not fit the model's.
    """
    for at, control in enumerate(controls):
        loc = ("controls", at, "model")
        lacking = _lacking(control, family)
        if lacking is not None:
            yield FieldProblem(loc, "excluded", f"{lacking}: leave the control out")
        elif _is_surely_of_another(control.file, family):
            said = for_another(control.file.name, "ControlNet", control.file.family, family)
            said = f"{said}: choose one for {family.title}"
            yield FieldProblem(loc, "control_of_another_family", said)
        if control.values["start"] > control.values["end"]:
            said = "`start` must not be after `end`"
            yield FieldProblem(("controls", at, "start"), "excluded", said)


def _lacking(control: Control, family: Family) -> str | None:
    if control.file.folder == "model_patches":
        takes_none = f"it is a model patch, and {family.title} takes none"
        return takes_none if family.control_patch is None else None
    return None if family.has_controls else f"{family.title} takes no ControlNets"


def _is_surely_of_another(file: ModelFile, family: Family) -> bool:
    return file.family not in (None, family.base) and file.reason in _SURE
