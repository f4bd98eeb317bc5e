"""What is known of model files, as functions: for the routes and for the pages of web."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from api.body import summary
from api.errors import ProblemError
from api.generations.facade import Facade
from api.models.beside import Beside, all_beside
from api.models.documents import (
    ModelFileDocument,
    ModelsDocument,
    ModelSetting,
    SettingDocument,
    defaults_of,
    titled,
)
from api.models.offered import known, offered
from comfy import Catalogue
from comfy.catalogue import FOLDERS
from comfy.families.models import DIFFUSION_FOLDERS, ModelFile
from comfy.families.names import CONTROL_FOLDERS, LORA_FOLDER
from comfy.families.table import BASES, FAMILIES, base_of
from comfy.workflows.known import Known
from core.problems import FieldProblem
from core.wording import nearest
from store.models import FileKey, KeptSetting

_EMBEDDINGS = "embeddings"


class ModelFacade:
    """The model files as clients see them. Raises ProblemError and the store's errors."""

    def __init__(self, generations: Facade) -> None:
        self._generations = generations

    async def all(self, folder: str | None = None) -> ModelsDocument:
        """Returns what ComfyUI has, and the files of every folder, or of one.

        Raises ProblemError when ComfyUI was never reached.
        """
        catalogue = await catalogue_of(self._generations)
        return ModelsDocument(
            checkpoints=offered(catalogue, self._generations.models.current, ("checkpoints",)),
            loras=list(catalogue.loras),
            vaes=list(catalogue.vaes),
            upscalers=list(catalogue.upscalers),
            embeddings=list(catalogue.embeddings),
            default=self._generations.default_model,
            models=await self._files(catalogue, FOLDERS if folder is None else (folder,)),
        )

    async def stamp(self) -> object:
        """Returns a value that is another one whenever ``all`` would say something else."""
        models = self._generations.models
        workers = await self._generations.estimates.live_workers()
        names = tuple(sorted(worker.name for worker in workers))
        catalogue = self._generations.catalogue.current
        return catalogue, models.current, models.listed, models.settings, names

    async def beside(self) -> Mapping[FileKey, Beside]:
        """Returns what goes with the models, where there is anything to be said of that.

        Raises ProblemError when ComfyUI was never reached.
        """
        catalogue = await catalogue_of(self._generations)
        models = self._generations.models.current
        files = [
            known(models, folder, name)
            for folder in DIFFUSION_FOLDERS
            for name in self._names(catalogue, folder)
        ]
        return await asyncio.to_thread(all_beside, files, Known(catalogue, models=models))

    async def look_again(self) -> None:
        """Ask ComfyUI anew which files it has."""
        await self._generations.catalogue.refreshed()

    async def set(self, folder: str, name: str, wanted: ModelSetting) -> ModelFileDocument:
        """Keep what the owner says of a file. Returns what is known of it then.

        Raises ProblemError: 404 for a file that no ComfyUI lists, 422.
        """
        catalogue = self._generations.catalogue.current or Catalogue()
        if name not in self._names(catalogue, folder):
            raise ProblemError(
                "not_found", "no ComfyUI lists this file; GET /api/v1/models has those that are"
            )
        problems = [
            *_family_problems(folder, wanted.family),
            *self._part_problems(catalogue, folder, wanted),
        ]
        if problems:
            raise ProblemError("invalid_request", summary(problems, len(problems)), errors=problems)
        encoders = None if wanted.text_encoders is None else tuple(wanted.text_encoders)
        await self._generations.store.models.set(
            KeptSetting(folder, name, wanted.family, encoders, wanted.vae)
        )
        await self._generations.models.take_over()
        return self._document(folder, name, await self._holders())

    async def _files(
        self, catalogue: Catalogue, folders: Collection[str]
    ) -> list[ModelFileDocument]:
        holders = await self._holders()
        return [
            self._document(folder, name, holders)
            for folder in folders
            for name in self._names(catalogue, folder)
        ]

    def _names(self, catalogue: Catalogue, folder: str) -> Sequence[str]:
        """Returns the files of a folder that any ComfyUI lists, by name."""
        if folder not in FOLDERS:
            return ()
        listed = self._generations.models.listed.values()
        names = {name for keys in listed for where, name in keys if where == folder}
        offered_names = catalogue.in_folder(folder)
        if folder == _EMBEDDINGS:  # a catalogue has them as prompts say them, without an ending
            bare = {name.rpartition(".")[0] for name in names}
            offered_names = tuple(name for name in offered_names if name not in bare)
        return sorted({*names, *offered_names})

    async def _holders(self) -> Mapping[str, Collection[FileKey]]:
        """Returns the files of each live worker's ComfyUI, by the worker's name."""
        listed = self._generations.models.listed
        workers = await self._generations.estimates.live_workers()
        found = {worker.name: listed.get(worker.comfy_url, frozenset()) for worker in workers}
        return dict(sorted(found.items()))

    def _document(
        self, folder: str, name: str, holders: Mapping[str, Collection[FileKey]]
    ) -> ModelFileDocument:
        models = self._generations.models
        file = known(models.current, folder, name)
        said = models.settings.get((folder, name))
        return ModelFileDocument(
            folder=folder,
            name=name,
            family=file.family,
            family_title=titled(file.family),
            reason=file.reason,
            detail=file.detail,
            traits=sorted(file.traits),
            trigger_words=list(file.trigger_words),
            workers=[worker for worker, keys in holders.items() if (folder, name) in keys],
            defaults=defaults_of(file.family) if _makes_pictures(file) else None,
            setting=said
            and SettingDocument(
                family=said.family,
                text_encoders=None if said.text_encoders is None else list(said.text_encoders),
                vae=said.vae,
            ),
        )

    def _part_problems(
        self, catalogue: Catalogue, folder: str, wanted: ModelSetting
    ) -> list[FieldProblem]:
        """Returns what is wrong with the files that are to be loaded beside it."""
        parts = [
            *(("text_encoders", "text_encoders", name) for name in wanted.text_encoders or ()),
            *([("vae", "vae", wanted.vae)] if wanted.vae is not None else []),
        ]
        if folder not in DIFFUSION_FOLDERS:
            said = "only checkpoints and diffusion models are loaded with others beside them"
            fields = dict.fromkeys(field for field, _, _ in parts)
            return [FieldProblem((field,), "not_taken", said) for field in fields]
        problems: list[FieldProblem] = []
        for field, where, name in parts:
            names = self._names(catalogue, where)
            if name not in names:
                said = f"no ComfyUI has this file in {where}; {nearest(name, names, 'files')}"
                problems.append(FieldProblem((field,), "unknown_model", said))
        return problems


async def catalogue_of(generations: Facade) -> Catalogue:
    """Returns what ComfyUI offers. Raises ProblemError when it was never reached."""
    catalogue = generations.catalogue.current or await generations.catalogue.refreshed()
    if catalogue is None:
        raise ProblemError(
            "no_catalogue",
            "ComfyUI has not been reached yet, so nothing is known of its models.",
            headers={"Retry-After": "5"},
        )
    return catalogue


def _makes_pictures(file: ModelFile) -> bool:
    return file.folder in DIFFUSION_FOLDERS


def _family_problems(folder: str, family: str | None) -> list[FieldProblem]:
    if family is None:
        return []
    if folder in DIFFUSION_FOLDERS:
        is_known, names = family in FAMILIES, tuple(FAMILIES)
    elif folder in (LORA_FOLDER, *CONTROL_FOLDERS):
        is_known = base_of(family) is not None
        names = tuple(dict.fromkeys((*sorted(BASES), *FAMILIES)))
    else:
        said = f"files of {folder} are of no family"
        return [FieldProblem(("family",), "not_taken", said)]
    if is_known:
        return []
    said = f"there is no such family; {nearest(family, names, 'families')}"
    return [FieldProblem(("family",), "unknown_family", said)]
