"""The models that requests can name, with what suits each."""

from __future__ import annotations

from functools import lru_cache

from api.models.documents import ModelDocument, defaults_of, titled
from comfy import Catalogue
from comfy.families.models import DIFFUSION_FOLDERS, ModelFile, Models
from comfy.families.recognise import recognise


def offered(
    catalogue: Catalogue, models: Models, folders: tuple[str, ...] = DIFFUSION_FOLDERS
) -> list[ModelDocument]:
    """Returns the catalogue's checkpoints and diffusion models, with what is known of them."""
    return [
        _document(known(models, folder, name))
        for folder in folders
        for name in catalogue.in_folder(folder)
    ]


def known(models: Models, folder: str, name: str) -> ModelFile:
    """Returns what is known of a file; of one that no worker has seen yet, what its name says."""
    return models.find(name, [folder]) or _by_name(folder, name)


@lru_cache(maxsize=10_000)
def _by_name(folder: str, name: str) -> ModelFile:
    return recognise(folder, name)


@lru_cache(maxsize=10_000)
def _document(file: ModelFile) -> ModelDocument:
    """Every page reads them, and they are the same until more is known."""
    return ModelDocument(
        name=file.name,
        folder=file.folder,
        family=file.family,
        family_title=titled(file.family),
        defaults=defaults_of(file.family),
    )
