"""The files that a request loads: its model, and what goes with that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfy.catalogue import Catalogue
from comfy.families.family import Family
from comfy.families.models import DIFFUSION_FOLDERS, ModelFile
from comfy.families.parts import find_encoder, find_vae, missing_part
from comfy.families.recognise import recognise
from comfy.families.table import FAMILIES
from comfy.workflows.known import Known
from core.problems import FieldProblem


@dataclass(frozen=True)
class Chosen:
    """A model with its family; ``text_encoders`` and ``vae`` are None where it has its own."""

    file: ModelFile
    family: Family
    text_encoders: tuple[str, ...] | None = None
    vae: str | None = None


class UnusableModelError(ValueError):
    """No model, or one that cannot be used; ``problems`` say why, and what to do."""

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__(problems)
        self.problems = problems


def choose(given: Mapping[str, Any], known: Known, at: str = "model") -> Chosen:
    """Returns the model that the request names (at the input ``at``), else the default one.

    Raises UnusableModelError with the codes ``no_model``, ``unknown_model``, ``unknown_family``
    and ``missing_models``.
    """
    name = given.get(at) or known.default_model or _first(known.catalogue)
    if name is None:
        raise UnusableModelError(_no_model(known.catalogue, at))
    file = find(name, known, DIFFUSION_FOLDERS)
    family = FAMILIES.get(file.family or "")
    if family is None:
        raise UnusableModelError(_unknown_family(file, at))
    if file.folder == "checkpoints":
        encoders = given.get("text_encoders") or file.text_encoders
        return Chosen(
            file, family, tuple(encoders) if encoders else None, given.get("vae") or file.vae
        )
    return _with_parts(given, file, family, known.catalogue or Catalogue(), at)


def find(name: str, known: Known, folders: Sequence[str]) -> ModelFile:
    """Returns what is known of a file; of one that no ComfyUI lists, what its name says."""
    found = known.models.find(name, folders)
    if found is not None:
        return found
    catalogue = known.catalogue or Catalogue()
    folder = next((it for it in folders if name in catalogue.in_folder(it)), folders[0])
    return recognise(folder, name)


def _first(catalogue: Catalogue | None) -> str | None:
    if catalogue is None:
        return None
    return next(iter((*catalogue.checkpoints, *catalogue.diffusion_models)), None)


def _with_parts(
    given: Mapping[str, Any], file: ModelFile, family: Family, catalogue: Catalogue, at: str
) -> Chosen:
    parts = family.parts
    if parts is None:
        said = f"{family.title} comes as a checkpoint: put {file.name} into models/checkpoints"
        raise UnusableModelError(FieldProblem((at,), "unknown_family", said))
    problems: list[FieldProblem] = []
    wanted = given.get("text_encoders") or file.text_encoders
    encoders: list[str] = list(wanted or ())
    for kind in parts.encoders if not wanted else ():
        found = find_encoder(kind, catalogue.text_encoders)
        if found is None:
            said = f"{family.title} needs a text encoder: {missing_part(kind)}"
            problems.append(FieldProblem(("text_encoders",), "missing_models", said))
        else:
            encoders.append(found)
    vae = given.get("vae") or file.vae or find_vae(parts.vae, catalogue.vaes)
    if vae is None:
        said = f"{family.title} needs a VAE: {missing_part(parts.vae)}"
        problems.append(FieldProblem(("vae",), "missing_models", said))
    if problems:
        raise UnusableModelError(*problems)
    return Chosen(file, family, tuple(encoders), vae)


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
