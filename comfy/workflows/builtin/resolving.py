"""From what was asked of a built-in workflow to every value, and how the graph is made of them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from comfy.catalogue import Catalogue
from comfy.families.family import Family
from comfy.families.table import FAMILIES
from comfy.workflows.builtin.control_kinds import Control, controls_of, unable_controls
from comfy.workflows.builtin.declarations import BUILT_IN
from comfy.workflows.builtin.files import files_of
from comfy.workflows.builtin.ignored import (
    few_steps,
    foreign,
    half_heeded,
    hears_embeddings,
    ignored,
    resized,
    shrunk,
)
from comfy.workflows.builtin.laying_out import (
    SIDES,
    Laid,
    UnusablePictureError,
    layout_of,
    size_of,
)
from comfy.workflows.builtin.models import Chosen, UnusableModelError, choose, find
from comfy.workflows.builtin.naming import unknown_names
from comfy.workflows.builtin.operations import unable, unfitting
from comfy.workflows.builtin.prompt_loras import heard_loras
from comfy.workflows.builtin.prompts import Words, read_words, unknown_embeddings
from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.builtin.second_pass import hires_size, too_large, whole_hires
from comfy.workflows.known import Known
from comfy.workflows.layout import Size, of_area, rounded
from core.fields import draw_seed
from core.notices import Notice
from core.problems import FieldProblem
from core.workflows.declaration import Workflow

DENOISE: Final = 0.6
"""Of a start image without a mask: halfway between the same and another one."""
MASKED_DENOISE: Final = 1.0
SWITCH_AT: Final = 0.8
_MEGAPIXEL: Final = 1024 * 1024
"""The area of reference images, as models that edit were trained."""
_OF_MASKS: Final = ("mask_area", "mask_padding", "mask_invert", "mask_feather")

_DECLARED: Final[Mapping[str, Mapping[str, Any]]] = {
    name: {
        one.name: one.default
        for one in workflow.inputs
        if one.default is not None and one.name != "wildcards"
    }
    for name, workflow in BUILT_IN.items()
}
"""The declared values of each workflow's inputs; ``wildcards`` is told where it is asked for."""


@dataclass(frozen=True)
class Resolved:
    """Every value as it will be used, and the recipe of the graph.

    ``models`` are the files that will be loaded, by folder, and ``model`` the one that is first.
    With ``problems`` the rest is not to be used.
    """

    values: Mapping[str, Any]
    recipe: Recipe = field(default_factory=Recipe)
    model: str | None = None
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    problems: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True)
class _Pictures:
    """What is known of a request's pictures; ``references`` are the sizes of reference images."""

    laid: Laid | None = None
    references: tuple[Size, ...] = ()


@dataclass(frozen=True)
class _Asked:
    """A request with what was found of it: ``told`` are its inputs, words and seed as used."""

    workflow: Workflow
    told: Mapping[str, Any]
    words: Words
    chosen: Chosen
    controls: Sequence[Control]
    pictures: _Pictures
    known: Known

    @cached_property
    def size(self) -> Size:
        """What is sampled at first, in pixels."""
        return _size(self.told, self.chosen.family, self.pictures)


def resolved_drawing(
    workflow: Workflow, given: Mapping[str, Any], known: Known, *, suggest: bool = True
) -> Resolved:
    """Returns the values of a request of ``txt2img`` or one of its kind.

    Notices and problems are told where they are found: in ``operations``, ``models``, ``beside``,
    ``naming``, ``prompts``, ``prompt_loras``, ``laying_out``, ``control_kinds``, ``second_pass``
    and ``ignored``.
    """
    problems = [*unfitting(given), *unknown_names(given, known.catalogue, suggest=suggest)]
    seed = draw_seed() if given.get("seed") is None else given["seed"]
    words = read_words(given, seed, known, suggest=suggest)
    problems += words.problems
    try:
        chosen = choose(given, known, suggest=suggest)
    except UnusableModelError as error:
        return Resolved(given, problems=(*problems, *error.problems))
    told = {**given, **words.values, "seed": seed}
    controls = controls_of(told, chosen.family, known)
    problems += _unable(told, chosen, controls, known, suggest=suggest)
    if problems:
        return Resolved(given, problems=tuple(problems))
    try:
        pictures = _look_at(told, chosen.family, known)
    except UnusablePictureError as error:
        return Resolved(given, problems=(error.problem,))
    return _resolved(_Asked(workflow, told, words, chosen, controls, pictures, known))


def _unable(
    told: Mapping[str, Any],
    chosen: Chosen,
    controls: Sequence[Control],
    known: Known,
    *,
    suggest: bool,
) -> Iterator[FieldProblem]:
    family = chosen.family
    yield from unable(told, chosen)
    yield from unable_controls(controls, family)
    unknown = unknown_embeddings(told, known.catalogue, suggest=suggest)
    if unknown and hears_embeddings(family):
        yield from unknown
    if "refiner" in told:
        yield from _unfitting_refiner(told["refiner"], family, known)


def _unfitting_refiner(
    refiner: Mapping[str, Any], family: Family, known: Known
) -> Iterator[FieldProblem]:
    if family.base != "sdxl":
        return  # of another family it is refused already
    found = find(refiner["model"], known, ("checkpoints",))
    own = FAMILIES.get(found.family or "")
    if own is not None and own.base != "sdxl" and found.reason != "name":
        said = f"{found.name} is {own.title}, and a refiner must be an SDXL model"
        yield FieldProblem(("refiner", "model"), "excluded", said)


def _look_at(told: Mapping[str, Any], family: Family, known: Known) -> _Pictures:
    """Looks at the files. Raises UnusablePictureError."""
    look = known.pictures
    sizes = tuple(size_of(one, family, look) for one in told.get("reference_images") or ())
    for control in told.get("controls") or ():
        size_of(control["image"], family, look)  # a file that is no picture is refused now
    return _Pictures(layout_of(told, family, look), sizes)


# --- the values


def _resolved(asked: _Asked) -> Resolved:
    family = asked.chosen.family
    values = _values(asked)
    reduced, reductions = few_steps(values, family)
    values |= reduced
    hires = values.get("hires")
    if hires is not None:
        problems = tuple(too_large(hires["scale"], asked.size, values["batch_size"]))
        if problems:
            return Resolved(asked.told, problems=problems)
    file = asked.chosen.file
    ordered = {name: values[name] for name in asked.workflow.by_name if name in values}
    return Resolved(
        ordered,
        _recipe(asked, hires),
        file.name,
        files_of(ordered, (file.folder, file.name), _files(asked.controls)),
        (*_notices(asked, ordered["cfg"]), *reductions),
    )


def _notices(asked: _Asked, cfg: float) -> Iterator[Notice]:
    told, family = asked.told, asked.chosen.family
    yield from asked.chosen.notices
    yield from asked.words.notices
    yield from ignored(told, cfg, family)
    loras = told.get("loras")
    if loras or asked.controls:
        yield from foreign(loras or (), asked.controls, family, asked.known)
        yield from half_heeded(loras or (), asked.controls, family)
    laid, has_size = asked.pictures.laid, "width" in told or "height" in told
    if has_size:
        yield from resized(told, asked.size._asdict(), family)
    elif laid is not None:
        yield from shrunk(laid.layout, family)


def _recipe(asked: _Asked, hires: Mapping[str, Any] | None) -> Recipe:
    family, laid = asked.chosen.family, asked.pictures.laid
    multiple = family.size_multiple
    return Recipe(
        family=family.name,
        folder=asked.chosen.file.folder,
        traits=asked.chosen.file.traits,
        layout=laid.layout if laid is not None else None,
        controls=tuple(one.kind for one in asked.controls),
        references=_reference_sizes(asked.pictures, family),
        hires=None if hires is None else hires_size(hires["scale"], asked.size, multiple),
    )


def _values(asked: _Asked) -> dict[str, Any]:
    """Returns the values: those given, else the family's, else the declared ones."""
    told, chosen, family = asked.told, asked.chosen, asked.chosen.family
    catalogue = asked.known.catalogue or Catalogue()
    values = {**_DECLARED[asked.workflow.name], **defaults(family, catalogue), **told}
    values["model"] = chosen.file.name
    values["cfg"] = float(values["cfg"])
    if chosen.text_encoders is not None:
        values["text_encoders"] = list(chosen.text_encoders)
    if chosen.vae is not None:
        values["vae"] = chosen.vae
    _leave_out(values, family)
    values |= _sized(asked.told, asked.pictures.laid, asked.size)
    if "init_image" in values and "denoise" not in values:
        values["denoise"] = denoise_of(values, family)
    return values | _groups(asked, values, catalogue)


def denoise_of(given: Container[str], family: Family) -> float:
    """Returns the denoise of a start image where it is left open; ``given`` are named inputs."""
    wholly = "mask" in given or "outpaint" in given or family.needs_reference
    return MASKED_DENOISE if wholly else DENOISE


def _groups(asked: _Asked, values: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """Returns the values that are groups or lists of them, with all that they leave open."""
    whole: dict[str, Any] = {}
    if asked.controls:
        whole["controls"] = [dict(one.values) for one in asked.controls]
    if "loras" in values:
        whole["loras"] = heard_loras(values["loras"], asked.chosen.family)
    if "outpaint" in values:
        whole["outpaint"] = {side: values["outpaint"].get(side) or 0 for side in SIDES}
    if "refiner" in values:
        switch_at = values["refiner"].get("switch_at")
        switch_at = SWITCH_AT if switch_at is None else switch_at
        whole["refiner"] = {"model": values["refiner"]["model"], "switch_at": switch_at}
    if "hires" in values:
        whole["hires"] = whole_hires(values["hires"], values["steps"], catalogue)
    return whole


def _leave_out(values: dict[str, Any], family: Family) -> None:
    """Takes out what has no meaning in this request: the result says what is used."""
    unused: set[str] = set()
    if "mask" not in values:
        unused.update(_OF_MASKS)
    if "outpaint" in values:
        unused.discard("mask_feather")
    if family.defaults.guidance is None:
        unused.add("guidance")
    if not family.has_clip_skip:
        unused.add("clip_skip")
    unused.update(
        name for name in ("loras", "controls", "reference_images") if not values.get(name)
    )
    for name in unused:
        values.pop(name, None)


def defaults(family: Family, catalogue: Catalogue) -> dict[str, Any]:
    """Returns how a family is sampled, where a request leaves it open."""
    own = family.defaults
    found: dict[str, Any] = {
        "steps": own.steps,
        "cfg": own.cfg,
        "sampler": available(own.sampler, catalogue.samplers),
        "scheduler": available(own.scheduler, catalogue.schedulers),
    }
    return found if own.guidance is None else {**found, "guidance": own.guidance}


def available(preferred: str, names: Sequence[str]) -> str:
    """Returns a family's default, or the first name of a ComfyUI that does not have it."""
    return preferred if preferred in names or not names else names[0]


# --- sizes


def _size(told: Mapping[str, Any], family: Family, pictures: _Pictures) -> Size:
    """Returns the size of what is sampled at first."""
    if pictures.laid is not None:
        return pictures.laid.layout.work
    own, multiple = family.defaults, family.size_multiple
    width, height = told.get("width"), told.get("height")
    if width is None and height is None and pictures.references:
        return of_area(pictures.references[0], family.pixels, multiple)
    return rounded(width or own.width, height or own.height, multiple)


def _sized(told: Mapping[str, Any], laid: Laid | None, size: Size) -> dict[str, Any]:
    """Returns width and height; with a mask they are not the result's, and not told.

    A mask that was made anew is not inverted any more; a dry run makes none.
    """
    if laid is None or not laid.layout.pastes:
        return size._asdict()
    return (
        {} if laid.mask in (None, told.get("mask")) else {"mask": laid.mask, "mask_invert": False}
    )


def _reference_sizes(pictures: _Pictures, family: Family) -> tuple[Size, ...]:
    if family.edit != "reference":
        return ()
    multiple = family.size_multiple
    return tuple(of_area(one, _MEGAPIXEL, multiple) for one in pictures.references)


def _files(controls: Sequence[Control]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in controls:
        found[one.file.folder] = (*found.get(one.file.folder, ()), one.file.name)
    return found
