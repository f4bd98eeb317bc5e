"""The model files of a ComfyUI, kept in the store with what is known of them.

A worker lists them, and reads the headers of those that are new or have changed: beside ComfyUI
from the disk, elsewhere only what ComfyUI tells of their metadata.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from comfy import ComfyClient
from comfy.catalogue import FOLDERS
from comfy.families.models import ModelFile, Models, Setting
from comfy.families.recognise import recognise, with_setting
from comfy.local_model_files import header_here, is_here, measured
from comfy.model_files import ListedFile, file_metadata, model_files, model_folders
from store.models import SETTINGS, FileKey, FileState, KeptFile, KeptSetting
from store.store import Store

LOOK_EVERY_S: Final = 120.0
"""Seconds between two looks: ComfyUI walks through its folders for each."""
RETRY_S: Final = 15.0
READ_FOLDERS: Final = ("checkpoints", "diffusion_models", "loras", "controlnet", "model_patches")
"""The folders whose files are read; those of the others are known by name only."""
_AT_ONCE: Final = 2
"""Files that are read at the same time: a header may have megabytes."""
_KEPT_TOGETHER: Final = 100
_VERSION: Final = version("easel")
_READ_KEPT: Final = 4
_read: OrderedDict[tuple[tuple[str, str], ...], Models] = OrderedDict()
"""What was read, by the ComfyUIs' URLs with their digests, and that of the settings."""


@dataclass(frozen=True)
class _Folder:
    """A model folder of a ComfyUI. ``read_by`` is that of files that are read now."""

    name: str
    places: tuple[str, ...]
    is_here: bool

    @property
    def read_by(self) -> str:
        return f"{_VERSION} {'here' if self.is_here else 'there'}"

    def is_known(self, listed: ListedFile, kept: FileState | None) -> bool:
        """Whether a file is known as well as it can be from here."""
        if kept is None or (kept.size, kept.modified) != (listed.size, listed.modified):
            return False
        # What was read from the disk is not replaced by what another worker knows without it.
        return kept.read_by in (self.read_by, f"{_VERSION} here")


async def list_files(
    store: Store, client: ComfyClient, folders: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, tuple[ListedFile, ...]]:
    """Returns ComfyUI's model files by folder, and keeps their names: what can be done there.

    ``folders`` are those of ``model_folders``. Raises TransientComfyError, StoreUnavailableError.
    """
    folders = await model_folders(client) if folders is None else folders
    there = {name: await model_files(client, name, folders) for name in FOLDERS}
    names = {folder: [file.name for file in files] for folder, files in there.items()}
    await store.offers.keep_files(client.base_url, names)
    return there


async def look_at_models(
    store: Store, client: ComfyClient, on_listed: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Keep what is known of ComfyUI's model files now: first which there are, then what they are.

    ``on_listed`` is called in between.
    Raises TransientComfyError, StoreUnavailableError; what was read until then is kept.
    """
    folders = await model_folders(client)
    there = await list_files(store, client, folders)
    if on_listed is not None:
        await on_listed()
    kept = await store.models.states(client.base_url)
    listed: set[FileKey] = set()
    for name, files in there.items():
        places = folders.get(name, ())
        folder = _Folder(name, places, await asyncio.to_thread(is_here, places))
        new = await asyncio.to_thread(_new_in, folder, files, kept)
        for some in _batches(new):
            await store.models.keep(client.base_url, await _known(client, folder, some))
        listed.update((name, file.name) for file in files)
    gone = kept.keys() - listed
    if gone:
        await store.models.keep(client.base_url, [], gone)


def _new_in(
    folder: _Folder, files: Iterable[ListedFile], kept: Mapping[FileKey, FileState]
) -> list[ListedFile]:
    """Returns the files of a folder that are to be read. Reads from the disk."""
    places = folder.places if folder.is_here else ()
    known = ((measured(file, places), kept.get((folder.name, file.name))) for file in files)
    return [file for file, state in known if not folder.is_known(file, state)]


def _batches(files: Sequence[ListedFile]) -> Iterator[Sequence[ListedFile]]:
    for start in range(0, len(files), _KEPT_TOGETHER):
        yield files[start : start + _KEPT_TOGETHER]


async def _known(
    client: ComfyClient, folder: _Folder, files: Sequence[ListedFile]
) -> list[KeptFile]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def known(file: ListedFile) -> KeptFile:
        async with turns:
            found = await _recognised(client, folder, file)
        state = FileState(file.size, file.modified, folder.read_by)
        return KeptFile(folder.name, file.name, state, found.to_json())

    found = await asyncio.gather(*map(known, files), return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return [one for one in found if isinstance(one, KeptFile)]


async def _recognised(client: ComfyClient, folder: _Folder, file: ListedFile) -> ModelFile:
    if folder.name not in READ_FOLDERS:
        return recognise(folder.name, file.name)
    if folder.is_here:
        found = await asyncio.to_thread(_recognised_here, folder, file)
        if found is not None:
            return found
    metadata = await file_metadata(client, folder.name, file.name)
    return await asyncio.to_thread(recognise, folder.name, file.name, None, metadata)


def _recognised_here(folder: _Folder, file: ListedFile) -> ModelFile | None:
    header = header_here(file, folder.places)
    return None if header is None else recognise(folder.name, file.name, header)


async def kept_models(store: Store, *comfy_urls: str) -> Models:
    """Returns what is known of the model files of these ComfyUIs, the owner's word first.

    Read again only when it has changed. Raises StoreUnavailableError.
    """
    digests = await store.models.digests()
    key = tuple((url, digests.get(url, "")) for url in (*comfy_urls, SETTINGS))
    if key not in _read:
        files = [one for url in comfy_urls for one in await store.models.files(url)]
        settings = await store.models.settings()
        _read[key] = await asyncio.to_thread(models_of, files, settings)
        while len(_read) > _READ_KEPT:
            _read.popitem(last=False)
    return _read[key]


def models_of(files: Iterable[Any], settings: Iterable[KeptSetting]) -> Models:
    """Returns what the store has of files, and what the owner says of these and any others.

    Of several files with one name the one that is known best counts.
    """
    said = {
        (one.folder, one.name): Setting(one.family, one.text_encoders, one.vae) for one in settings
    }
    known = sorted(filter(None, map(ModelFile.from_json, files)), key=_doubt)
    unlisted = (recognise(folder, name) for folder, name in said)
    return Models.of(
        with_setting(one, said.get((one.folder, one.name))) for one in (*known, *unlisted)
    )


def _doubt(file: ModelFile) -> int:
    """How little is known of a file, for sorting."""
    return ("setting", "header", "metadata", "name", "unknown").index(file.reason)
