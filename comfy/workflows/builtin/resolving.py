"""From what was asked of a built-in workflow to every value, and how the graph is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from comfy.catalogue import Catalogue
from comfy.families.family import Family
from comfy.workflows.builtin.laying_out import UnusablePictureError, layout_of
from comfy.workflows.builtin.models import Chosen, UnusableModelError, choose, find
from comfy.workflows.builtin.operations import unable, unfitting
from comfy.workflows.builtin.prompt_loras import LorasRead, read_loras
from comfy.workflows.builtin.recipe import ControlKind, Layout, Recipe
from comfy.workflows.known import Known
from comfy.workflows.layout import Size, of_area, rounded
from core.fields import draw_seed
from core.notices import Notice
from core.problems import FieldProblem
from core.workflows.declaration import Workflow

DENOISE: Final = 0.6
"""Of a start image without a mask: halfway between the same and another one."""
MASKED_DENOISE: Final = 1.0
HIRES_DENOISE: Final[Mapping[str, float]] = {"latent": 0.55, "model": 0.4}
"""A latent that was enlarged is blurred: it needs more."""


@dataclass(frozen=True)
class Resolved:
    """Every value as it will be used, and the recipe of the graph.

    ``models`` are the files that will be loaded, by folder. With ``problems`` the rest is not to be
    used.
    """

    values: Mapping[str, Any]
    recipe: Recipe = field(default_factory=Recipe)
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    problems: tuple[FieldProblem, ...] = ()


def resolved_drawing(workflow: Workflow, given: Mapping[str, Any], known: Known) -> Resolved:
    """Returns the values of a request of ``txt2img`` or one of its kind."""
    problems = list(unfitting(given))
    try:
        chosen = choose(given, known)
    except UnusableModelError as error:
        return Resolved(given, problems=(*problems, *error.problems))
    family = chosen.family
    problems += unable(given, family, chosen.file.name)
    try:
        layout = None if problems else layout_of(given, family, known.pictures)
    except UnusablePictureError as error:
        problems.append(error.problem)
        layout = None
    loras = read_loras(given, known.catalogue or Catalogue())
    problems += loras.problems
    values = _values(workflow, given, chosen, loras, layout, known.catalogue or Catalogue())
    if problems:
        return Resolved(values, problems=tuple(problems))
    recipe = Recipe(
        family=family.name,
        folder=chosen.file.folder,
        traits=chosen.file.traits,
        layout=layout,
        controls=tuple(_control_kind(one, known) for one in values.get("controls") or ()),
        references=_reference_sizes(values, family, known),
        hires=_hires_size(values, layout, family),
    )
    return Resolved(values, recipe, notices=loras.notices)


def _values(
    workflow: Workflow,
    given: Mapping[str, Any],
    chosen: Chosen,
    loras: LorasRead,
    layout: Layout | None,
    catalogue: Catalogue,
) -> dict[str, Any]:
    """Returns every value: those given, else the family's, else the declared ones."""
    family = chosen.family
    declared = {one.name: one.default for one in workflow.inputs if one.default is not None}
    values = {**declared, **_defaults(family, catalogue), **given, **loras.values}
    values["model"] = chosen.file.name
    if chosen.text_encoders is not None:
        values["text_encoders"] = list(chosen.text_encoders)
    if chosen.vae is not None:
        values["vae"] = chosen.vae
    if values.get("seed") is None:
        values["seed"] = draw_seed()
    values |= _sizes(values, family, layout)
    if "init_image" in values:
        masked = "mask" in values or "outpaint" in values
        values.setdefault("denoise", MASKED_DENOISE if masked else DENOISE)
    if values.get("hires") is not None:
        values["hires"] = _hires(values["hires"], values, catalogue)
    unused = _unused(workflow)
    return {name: value for name, value in values.items() if name not in unused}


def _defaults(family: Family, catalogue: Catalogue) -> dict[str, Any]:
    own = family.defaults
    found: dict[str, Any] = {
        "steps": own.steps,
        "cfg": own.cfg,
        "sampler": _available(own.sampler, catalogue.samplers),
        "scheduler": _available(own.scheduler, catalogue.schedulers),
    }
    return found if own.guidance is None else {**found, "guidance": own.guidance}


def _available(preferred: str, names: Sequence[str]) -> str:
    """Returns a family's default, or the first name of a ComfyUI that does not have it."""
    return preferred if preferred in names or not names else names[0]


def _sizes(values: Mapping[str, Any], family: Family, layout: Layout | None) -> dict[str, int]:
    """Returns the size of what is sampled: with a mask it is not the result's, and not told."""
    if layout is not None:
        return {} if layout.pastes else layout.work._asdict()
    own = family.defaults
    width, height = values.get("width") or own.width, values.get("height") or own.height
    return rounded(width, height, family.size_multiple)._asdict()


def _unused(workflow: Workflow) -> frozenset[str]:
    return frozenset({"mask_area", "mask_padding"}) if workflow.name == "outpaint" else frozenset()


def _hires(
    hires: Mapping[str, Any], values: Mapping[str, Any], catalogue: Catalogue
) -> dict[str, Any]:
    """Returns the second pass with all that it leaves open."""
    model = hires.get("model")
    method = hires.get("method") or ("model" if model or catalogue.upscalers else "latent")
    if method == "model" and model is None:
        model = next(iter(catalogue.upscalers), None)
    denoise = hires.get("denoise")
    return {
        "scale": hires.get("scale") or 1.5,
        "method": method,
        "model": model if method == "model" else None,
        "steps": hires.get("steps") or values["steps"],
        "denoise": HIRES_DENOISE[method] if denoise is None else denoise,
    }


def _hires_size(values: Mapping[str, Any], layout: Layout | None, family: Family) -> Size | None:
    hires = values.get("hires")
    if hires is None:
        return None
    size = layout.work if layout is not None else Size(values["width"], values["height"])
    scale = hires["scale"]
    return rounded(size.width * scale, size.height * scale, family.size_multiple)


def _control_kind(control: Mapping[str, Any], known: Known) -> ControlKind:
    file = find(control["model"], known, ("controlnet", "model_patches"))
    if file.folder == "model_patches":
        return "patch"
    return "union" if "union" in file.traits else "net"


def _reference_sizes(values: Mapping[str, Any], family: Family, known: Known) -> tuple[Size, ...]:
    """Returns the sizes to which reference images are scaled: about a megapixel, as trained."""
    references: Iterable[str] = values.get("reference_images") or ()
    if family.edit != "reference":
        return ()
    found = [known.pictures.size(one) for one in references]
    return tuple(of_area(one, _MEGAPIXEL, family.size_multiple) for one in found if one is not None)


_MEGAPIXEL: Final = 1024 * 1024
