"""The list of model files, built of what was known at one moment: nothing here waits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from api.models.documents import (
    ModelFileDocument,
    ModelsDocument,
    SettingDocument,
    defaults_of,
    titled,
)
from api.models.offered import known, offered
from comfy import Catalogue
from comfy.catalogue import FOLDERS
from comfy.families.models import DIFFUSION_FOLDERS, Models, Setting
from comfy.workflows.builtin.models import default_model
from comfy.workflows.known import Known
from store.models import FileKey

_EMBEDDINGS: Final = "embeddings"


@dataclass(frozen=True)
class Seen:
    """What the list is built of; of equal ones it is the same.

    ``listed`` has the files of each ComfyUI, by its URL; ``settings`` what the owner says;
    ``workers`` are the live ones by name, each with the URL of its ComfyUI; ``configured`` is the
    model that the settings name for requests which name none.
    """

    catalogue: Catalogue
    models: Models
    listed: Mapping[str, frozenset[FileKey]]
    settings: Mapping[FileKey, Setting]
    workers: tuple[tuple[str, str], ...]
    configured: str | None

    @cached_property
    def holders(self) -> Mapping[str, Collection[FileKey]]:
        """Returns the files of each live worker's ComfyUI, by the worker's name."""
        return {name: self.listed.get(url, frozenset()) for name, url in self.workers}

    def names(self, folder: str) -> Sequence[str]:
        """Returns the files of a folder that any ComfyUI lists, by name."""
        if folder not in FOLDERS:
            return ()
        listed = self.listed.values()
        names = {name for keys in listed for where, name in keys if where == folder}
        offered_names = self.catalogue.in_folder(folder)
        if folder == _EMBEDDINGS:  # a catalogue has them as prompts say them, without an ending
            bare = {name.rpartition(".")[0] for name in names}
            offered_names = tuple(name for name in offered_names if name not in bare)
        return sorted({*names, *offered_names})

    def file(self, folder: str, name: str) -> ModelFileDocument:
        """Returns what is known of a file."""
        file = known(self.models, folder, name)
        said = self.settings.get((folder, name))
        return ModelFileDocument(
            folder=folder,
            name=name,
            family=file.family,
            family_title=titled(file.family),
            reason=file.reason,
            detail=file.detail,
            traits=sorted(file.traits),
            trigger_words=list(file.trigger_words),
            workers=[worker for worker, keys in self.holders.items() if (folder, name) in keys],
            defaults=defaults_of(file.family) if folder in DIFFUSION_FOLDERS else None,
            setting=None if said is None else _setting(said),
        )

    def all(self, folder: str | None) -> ModelsDocument:
        """Returns what there is, and the files of every folder, or of one."""
        catalogue = self.catalogue
        usual = Known(catalogue, models=self.models, default_model=self.configured)
        return ModelsDocument(
            checkpoints=offered(catalogue, self.models, ("checkpoints",)),
            loras=list(catalogue.loras),
            vaes=list(catalogue.vaes),
            upscalers=list(catalogue.upscalers),
            embeddings=list(catalogue.embeddings),
            default=default_model(usual),
            models=[
                self.file(each, name)
                for each in (FOLDERS if folder is None else (folder,))
                for name in self.names(each)
            ],
        )


@dataclass(frozen=True)
class Listing:
    """A list that was built: what of, as a document, and as the text that clients read."""

    seen: Seen
    document: ModelsDocument
    json: str

    @classmethod
    def of(cls, seen: Seen, folder: str | None) -> Self:
        """Build it, of every folder or of one; call it in a thread: files may be thousands."""
        document = seen.all(folder)
        return cls(seen, document, document.model_dump_json())


def _setting(said: Setting) -> SettingDocument:
    return SettingDocument(
        family=said.family,
        text_encoders=None if said.text_encoders is None else list(said.text_encoders),
        vae=said.vae,
    )
