"""What is known of ComfyUI's model files, for the fields that one of them is chosen in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Self

from api.models.documents import ModelFileDocument
from api.models.families import (
    CONTROL_FOLDERS,
    DRAWING_FOLDERS,
    LORA_FOLDER,
    Family,
    base_of,
    family_named,
    place_of,
)
from core.workflows.declaration import Input

FOLDERS_OF: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "CheckpointLoaderSimple": ("checkpoints",),
        "UNETLoader": ("diffusion_models",),
        "UnetLoaderGGUF": ("diffusion_models",),
        "ControlNetLoader": ("controlnet",),
        "ModelPatchLoader": ("model_patches",),
    }
)
"""The folders whose files these node classes load."""


@dataclass(frozen=True)
class KnownModels:
    """The files of every folder.

    ``default`` is the model of the form's requests that name none, ``upscaler`` their upscale
    model; None where ComfyUI has none.
    """

    files: tuple[ModelFileDocument, ...] = ()
    default: str | None = None
    upscaler: str | None = None
    _by_key: Mapping[tuple[str, str], ModelFileDocument] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, files: Iterable[ModelFileDocument], default: str | None, upscaler: str | None
    ) -> Self:
        """Returns a collection that finds each file by its folder and name."""
        known = tuple(files)
        by_key = MappingProxyType({(it.folder, it.name): it for it in known})
        return cls(known, default, upscaler, by_key)

    def find(self, name: str, folders: Iterable[str]) -> ModelFileDocument | None:
        """Returns the file of that name in the first of the folders that has it."""
        found = (self._by_key.get((folder, name)) for folder in folders)
        return next((one for one in found if one is not None), None)

    def within(self, folders: Iterable[str]) -> list[ModelFileDocument]:
        """Returns the files of these folders, those of one family beside each other."""
        wanted = frozenset(folders)
        found = (one for one in self.files if one.folder in wanted)
        return sorted(found, key=lambda one: (place_of(one.family), one.name))

    def family_of(self, name: str | None) -> Family | None:
        """Returns the family of a checkpoint or diffusion model, None where it is not known."""
        file = self.find(name, DRAWING_FOLDERS) if name is not None else None
        return family_named(file.family) if file is not None else None


def fits(file: ModelFileDocument, family: Family | None) -> bool | None:
    """Whether a LoRA or ControlNet is for a family's models; None where that is not known."""
    base = base_of(file.family or "")
    return None if base is None or family is None else base == family.base


def folders_of(one: Input) -> tuple[str, ...]:
    """Returns the folders whose files an input takes."""
    found = (FOLDERS_OF.get(source.node_class, ()) for source in one.sources)
    named = tuple(dict.fromkeys(folder for folders in found for folder in folders))
    return named or ((one.folder,) if one.folder else ())


def draws(one: Input) -> bool:
    """Whether an input takes the model that draws: it has a family, and decides what suits."""
    return one.type == "model" and bool(set(folders_of(one)) & set(DRAWING_FOLDERS))


def goes_with_a_model(one: Input) -> bool:
    """Whether an input takes what was made for models of one base: LoRAs and ControlNets."""
    return one.type == "model" and bool(set(folders_of(one)) & {LORA_FOLDER, *CONTROL_FOLDERS})
