"""What is loaded beside a model, and what of it is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from comfy.families.models import DIFFUSION_FOLDERS, ModelFile
from comfy.families.table import FAMILIES
from comfy.workflows.builtin.models import UnusableModelError, choose
from comfy.workflows.known import Known
from store.models import FileKey


@dataclass(frozen=True)
class Beside:
    """``loaded`` are the files that a request with this model loads too; ``lacks`` says for people
    which of them no ComfyUI has, and into which folder they belong."""

    loaded: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


_NOTHING: Final = Beside()


def all_beside(files: Iterable[ModelFile], known: Known) -> Mapping[FileKey, Beside]:
    """Returns what is to be said of the models among the files; of the others there is nothing."""
    of_kind: dict[object, Beside] = {}
    found: dict[FileKey, Beside] = {}
    for file in files:
        if file.folder not in DIFFUSION_FOLDERS or file.family not in FAMILIES:
            continue
        kind = (file.folder, file.family, file.traits, file.text_encoders, file.vae)
        if kind not in of_kind:  # many files are of few families
            of_kind[kind] = _beside(file, known)
        if of_kind[kind] != _NOTHING:
            found[file.folder, file.name] = of_kind[kind]
    return found


def _beside(file: ModelFile, known: Known) -> Beside:
    try:
        chosen = choose({"model": file.name}, known)
    except UnusableModelError as error:
        return Beside(lacks=tuple(dict.fromkeys(one.message for one in error.problems)))
    loaded = (*(chosen.text_encoders or ()), *((chosen.vae,) if chosen.vae else ()))
    return Beside(loaded=loaded)
