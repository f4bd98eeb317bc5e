"""What is known of model files, as functions: for the routes and for the pages of web."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from api.body import summary
from api.errors import ProblemError
from api.generations.facade import Facade
from api.models.beside import Beside, all_beside
from api.models.documents import ModelFileDocument, ModelsDocument, ModelSetting
from api.models.listing import Listing, Seen
from api.models.offered import known
from comfy import Catalogue
from comfy.families.models import DIFFUSION_FOLDERS
from comfy.families.names import CONTROL_FOLDERS, LORA_FOLDER
from comfy.families.table import BASES, FAMILIES, base_of
from comfy.workflows.known import Known
from core.problems import FieldProblem
from core.wording import nearest
from store.models import FileKey, KeptSetting


class ModelFacade:
    """The model files as clients see them. Raises ProblemError and the store's errors."""

    def __init__(self, generations: Facade) -> None:
        self._generations = generations
        self._built: dict[str | None, Listing] = {}
        self._building = asyncio.Lock()

    async def all(self, folder: str | None = None) -> ModelsDocument:
        """Returns what ComfyUI has, and the files of every folder, or of one.

        It is shared by all who ask. Raises ProblemError when ComfyUI was never reached.
        """
        return (await self._listing(folder)).document

    async def all_as_json(self, folder: str | None = None) -> str:
        """Returns the same as text, and raises the same."""
        return (await self._listing(folder)).json

    async def stamp(self) -> object:
        """Returns a value that is another one whenever ``all`` would say something else."""
        return await self._seen()

    async def beside(self) -> Mapping[FileKey, Beside]:
        """Returns what goes with the models, where there is anything to be said of that.

        Raises ProblemError when ComfyUI was never reached.
        """
        await catalogue_of(self._generations)
        return await asyncio.to_thread(_beside, await self._seen())

    async def look_again(self) -> None:
        """Ask ComfyUI anew which files it has."""
        await self._generations.catalogue.refreshed()

    async def set(self, folder: str, name: str, wanted: ModelSetting) -> ModelFileDocument:
        """Keep what the owner says of a file. Returns what is known of it then.

        Raises ProblemError: 404 for a file that no ComfyUI lists, 422.
        """
        seen = await self._seen()
        if name not in seen.names(folder):
            raise ProblemError(
                "not_found", "no ComfyUI lists this file; GET /api/v1/models has those that are"
            )
        problems = [
            *_family_problems(folder, wanted.family),
            *_part_problems(seen, folder, wanted),
        ]
        if problems:
            raise ProblemError("invalid_request", summary(problems, len(problems)), errors=problems)
        encoders = None if wanted.text_encoders is None else tuple(wanted.text_encoders)
        await self._generations.store.models.set(
            KeptSetting(folder, name, wanted.family, encoders, wanted.vae)
        )
        await self._generations.models.take_over()
        return (await self._seen()).file(folder, name)

    async def _listing(self, folder: str | None) -> Listing:
        """Returns the list as it was built last, built anew once something of it has changed."""
        await catalogue_of(self._generations)
        async with self._building:  # once for all that wait for it
            seen = await self._seen()
            found = self._built.get(folder)
            if found is None or found.seen != seen:
                found = self._built[folder] = await asyncio.to_thread(Listing.of, seen, folder)
        return found

    async def _seen(self) -> Seen:
        """Returns what is known now; without a ComfyUI that was reached its catalogue is empty."""
        workers = await self._generations.estimates.live_workers()
        models = self._generations.models
        return Seen(
            self._generations.catalogue.current or Catalogue(),
            models.current,
            models.listed,
            models.settings,
            tuple(sorted((worker.name, worker.comfy_url) for worker in workers)),
            self._generations.configured_model,
        )


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


def _beside(seen: Seen) -> Mapping[FileKey, Beside]:
    files = [
        known(seen.models, folder, name)
        for folder in DIFFUSION_FOLDERS
        for name in seen.names(folder)
    ]
    return all_beside(files, Known(seen.catalogue, models=seen.models))


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


def _part_problems(seen: Seen, folder: str, wanted: ModelSetting) -> list[FieldProblem]:
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
        names = seen.names(where)
        if name not in names:
            said = f"no ComfyUI has this file in {where}; {nearest(name, names, 'files')}"
            problems.append(FieldProblem((field,), "unknown_model", said))
    return problems
