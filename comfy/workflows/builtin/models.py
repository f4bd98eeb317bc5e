"""The model of a request: which file, which family, and what is loaded beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple

from comfy.catalogue import Catalogue
from comfy.families.family import Family
from comfy.families.models import DIFFUSION_FOLDERS, ModelFile, Models
from comfy.families.names import named
from comfy.families.recognise import recognise
from comfy.families.table import FAMILIES
from comfy.versions import is_before, words
from comfy.workflows.builtin.beside import beside
from comfy.workflows.builtin.naming import unknown
from comfy.workflows.known import Known
from core.notices import Notice
from core.problems import FieldProblem

_KEPT: Final = 1_000
_LIKE_SDXL: Final = re.compile("xl|pony|illustrious|noobai|animagine", re.IGNORECASE)
"""In names of checkpoints of which nothing else is known; all others are drawn as SD 1.5, whose
smaller size costs least when that is wrong."""


@dataclass(frozen=True)
class Chosen:
    """A model with its family; ``text_encoders`` and ``vae`` are None where it has its own."""

    file: ModelFile
    family: Family
    text_encoders: tuple[str, ...] | None = None
    vae: str | None = None
    notices: tuple[Notice, ...] = ()


class Wanted(NamedTuple):
    """What a model must be able to do: edit images, start from one, fill in a mask."""

    edits: bool
    has_image: bool
    is_masked: bool

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Wanted:
        """Returns what a request wants."""
        return cls(
            bool(given.get("reference_images")),
            bool(given.get("init_image")),
            bool(given.get("mask") or given.get("outpaint")),
        )

    def can_be_had_of(self, family: Family) -> bool:
        """Whether a family's models can do it."""
        if self.edits:
            return family.edit is not None
        if family.needs_reference and not self.has_image:
            return False
        return self.is_masked or not family.inpaints_by_conditioning

    def is_usual_for(self, file: ModelFile) -> bool:
        """Whether a file draws all of it: refiners draw the last steps, inpaint models masks."""
        return "refiner" not in file.traits and (self.is_masked or "inpaint" not in file.traits)


class UnusableModelError(ValueError):
    """No model, or one that cannot be used; ``problems`` say why, and what to do."""

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__(problems)
        self.problems = problems


@dataclass(frozen=True)
class _Kept:
    """What was chosen, or why nothing was, and from what: the same objects give the same."""

    catalogue: Catalogue | None
    models: Models
    found: Chosen | tuple[FieldProblem, ...]

    def chosen(self) -> Chosen:
        """Returns what was chosen. Raises UnusableModelError."""
        if isinstance(self.found, Chosen):
            return self.found
        raise UnusableModelError(*self.found)


_Key = tuple[int, int, str | None, str | Wanted, str, bool, tuple[str, ...], str | None]
_kept: dict[_Key, _Kept] = {}
"""Of the last models, by what they were chosen from: a batch has thousands of rows with one."""


def choose(
    given: Mapping[str, Any], known: Known, at: str = "model", *, suggest: bool = True
) -> Chosen:
    """Returns the model that the request names (at the input ``at``), else the default one.

    Where that cannot do what is asked for, it is the first of the ComfyUI's that can.
    The file's family is as it is known; a checkpoint of which nothing but its name is known is
    taken as SDXL or SD 1.5 by that, with the notice ``family_guessed``. Raises UnusableModelError
    with the codes ``no_model``, ``unknown_model``, ``unknown_family``, ``comfyui_too_old``,
    ``missing_models`` and ``excluded``.
    """
    named_beside = tuple(given.get("text_encoders") or ()), given.get("vae")
    wanted = given.get(at) or Wanted.of(given)
    known_now = (id(known.catalogue), id(known.models), known.default_model)
    key = (*known_now, wanted, at, suggest, *named_beside)
    kept = _kept.get(key)
    if kept is None or kept.catalogue is not known.catalogue or kept.models is not known.models:
        found = _chosen_or_problems(given, wanted, known, at, suggest=suggest)
        kept = _Kept(known.catalogue, known.models, found)
        if len(_kept) >= _KEPT:
            _kept.clear()
        _kept[key] = kept
    return kept.chosen()


def _chosen_or_problems(
    given: Mapping[str, Any], wanted: str | Wanted, known: Known, at: str, *, suggest: bool
) -> Chosen | tuple[FieldProblem, ...]:
    name = default_model(known, wanted) if isinstance(wanted, Wanted) else wanted
    if name is None:
        return (_no_model(known.catalogue, at),)
    try:
        return _chosen(given, name, known, at, suggest=suggest)
    except UnusableModelError as error:
        return error.problems


def _chosen(given: Mapping[str, Any], name: str, known: Known, at: str, *, suggest: bool) -> Chosen:
    catalogue = known.catalogue
    if catalogue is not None:
        names = (*catalogue.checkpoints, *catalogue.diffusion_models)
        if name not in names:
            raise UnusableModelError(unknown((at,), "model", name, names, suggest=suggest))
    file = find(name, known, DIFFUSION_FOLDERS)
    family, notices = _family(file, at)
    if catalogue is not None and is_before(catalogue.version, family.oldest):
        said = (
            f"{file.name} is {family.title}, which needs ComfyUI {words(family.oldest)} or later; "
            f"this one is {catalogue.version}: update it"
        )
        raise UnusableModelError(FieldProblem((at,), "comfyui_too_old", said))
    if family.parts is None and file.folder != "checkpoints":
        said = f"{family.title} comes as a checkpoint: put {file.name} into models/checkpoints"
        raise UnusableModelError(FieldProblem((at,), "unknown_family", said))
    found = beside(given, file, family, catalogue)
    if found.problems:
        raise UnusableModelError(*found.problems)
    return Chosen(file, family, found.text_encoders, found.vae, notices)


def _family(file: ModelFile, at: str) -> tuple[Family, tuple[Notice, ...]]:
    family = FAMILIES.get(file.family or "")
    is_by_name = file.folder == "checkpoints" and file.reason in ("name", "unknown")
    if family is not None and not (is_by_name and _is_guess(file.folder, file.name)):
        return family, ()
    if family is None:
        # What has a header that fits nothing would be drawn as noise, or not at all.
        if not is_by_name or file.reason == "unknown":
            raise UnusableModelError(_unknown_family(file, at))
        family = FAMILIES["sdxl" if _LIKE_SDXL.search(file.name) else "sd15"]
    said = (
        f"it is not known what kind of model {file.name} is: it is taken for {family.title}. "
        f"If it is another one, say so on the page Models, or with PUT "
        f"/api/v1/models/{file.folder}/{file.name}"
    )
    return family, (Notice(code="family_guessed", loc=(at,), message=said),)


@lru_cache(maxsize=1_000)
def _is_guess(folder: str, name: str) -> bool:
    """Whether a name tells nothing of a file's family."""
    return named(folder, name).is_guess


def find(name: str, known: Known, folders: Sequence[str]) -> ModelFile:
    """Returns what is known of a file; of one that no ComfyUI lists, what its name says."""
    found = known.models.find(name, folders)
    if found is not None:
        return found
    catalogue = known.catalogue or Catalogue()
    folder = next((it for it in folders if name in catalogue.in_folder(it)), "")
    return _recognised(folder, name, tuple(folders))


@lru_cache(maxsize=1_000)
def _recognised(folder: str, name: str, folders: tuple[str, ...]) -> ModelFile:
    """Returns what a name tells; without a folder, in the first one where it tells anything."""
    if folder:
        return recognise(folder, name)
    told = [recognise(each, name) for each in folders]
    known = (each for each in told if each.family and not _is_guess(each.folder, name))
    return next(known, told[0])


def default_model(known: Known, wanted: Wanted | None = None) -> str | None:
    """Returns the model of a request that names none, None where there is none.

    It is the chosen one, else the first that can do what is ``wanted``. A file whose name means
    another kind of model is none that is taken unasked, unless there is no other.
    """
    wanted = wanted or Wanted.of({})
    chosen = (known.default_model,) if known.default_model else ()
    first = None
    for name in chain(chosen, _names(known.catalogue)):
        first = first or name
        file = find(name, known, DIFFUSION_FOLDERS)
        was_set = name == known.default_model
        family = _known_family(file) if was_set or file.family is not None else None
        if family is None and was_set:
            break  # it was chosen: why it cannot be used is told
        if family is None or not wanted.can_be_had_of(family):
            continue
        if was_set or wanted.is_usual_for(file):
            return name
    return first


def _names(catalogue: Catalogue | None) -> Iterator[str]:
    if catalogue is not None:
        yield from catalogue.checkpoints
        yield from catalogue.diffusion_models


def _known_family(file: ModelFile) -> Family | None:
    try:
        family, _ = _family(file, "model")
    except UnusableModelError:
        return None
    return family


def _no_model(catalogue: Catalogue | None, at: str) -> FieldProblem:
    said = (
        "name a model: ComfyUI has not been reached yet"
        if catalogue is None
        else "ComfyUI has no model: put one (.safetensors) into its folder models/checkpoints or "
        "models/diffusion_models"
    )
    return FieldProblem((at,), "no_model", said)


def _unknown_family(file: ModelFile, at: str) -> FieldProblem:
    detail = f" ({file.detail})" if file.detail else ""
    said = (
        f"it is not known what kind of model {file.name} is{detail}: say it on the page Models, or "
        f"with PUT /api/v1/models/{file.folder}/{file.name}"
    )
    return FieldProblem((at,), "unknown_family", said)
