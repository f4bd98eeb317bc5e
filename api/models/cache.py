"""What is known of the model files of all ComfyUIs in use, as the store keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from comfy.families.models import ModelFile, Models, Setting
from core.loop import Loop
from flows.models import models_of
from store.errors import StoreError
from store.models import SETTINGS, FileKey, KeptSetting
from store.store import Store

TAKE_OVER_S: Final = 5.0
"""Seconds between two looks into the store: workers keep there what their ComfyUIs have."""


class ModelsCache:
    """Use as an async context manager. ``comfy_url`` is that of the API's own ComfyUI.

    ``current`` is what is known of every file, the owner's word first; of several files with one
    name the one that is known best counts. ``listed`` has the files of each ComfyUI, ``settings``
    what the owner says.
    """

    def __init__(self, store: Store, comfy_url: str) -> None:
        self.current = Models()
        self.listed: Mapping[str, frozenset[FileKey]] = MappingProxyType({})
        self.settings: Mapping[FileKey, Setting] = MappingProxyType({})
        self.comfy_url = comfy_url
        self._store = store
        self._known: dict[str, str] = {}
        self._files: dict[str, tuple[dict[str, Any], ...]] = {}
        self._lock = asyncio.Lock()
        self._loop = Loop(
            "looking for news of model files",
            self.take_over,
            every_s=TAKE_OVER_S,
            expected=(StoreError,),
        )

    async def __aenter__(self) -> ModelsCache:
        await self.take_over()
        self._loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._loop.stop()

    async def take_over(self) -> None:
        """Read what has changed in the store. Raises StoreUnavailableError."""
        async with self._lock:
            digests = await self._store.models.digests()
            names = (*await self._used(digests), *({SETTINGS} & digests.keys()))
            known = {name: digests[name] for name in names}
            if known != self._known:
                await self._read(known)
                self._known = known

    async def _used(self, digests: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the ComfyUIs in use whose files are known, the API's own first."""
        workers = await self._store.registry.workers()
        used = dict.fromkeys([self.comfy_url, *sorted(worker.comfy_url for worker in workers)])
        return tuple(url for url in used if url in digests)

    async def _read(self, digests: Mapping[str, str]) -> None:
        files: dict[str, tuple[dict[str, Any], ...]] = {}
        for url, digest in digests.items():
            if url == SETTINGS:
                continue
            is_same = self._known.get(url) == digest
            files[url] = self._files[url] if is_same else await self._store.models.files(url)
        settings = await self._store.models.settings()
        everything = [one for of_one in files.values() for one in of_one]
        self.current = await asyncio.to_thread(models_of, everything, settings)
        self.listed = MappingProxyType({url: _keys(of_one) for url, of_one in files.items()})
        self.settings = MappingProxyType(dict(map(_said, settings)))
        self._files = files


def _keys(files: Iterable[dict[str, Any]]) -> frozenset[FileKey]:
    found = filter(None, map(ModelFile.from_json, files))
    return frozenset((one.folder, one.name) for one in found)


def _said(kept: KeptSetting) -> tuple[FileKey, Setting]:
    return (kept.folder, kept.name), Setting(kept.family, kept.text_encoders, kept.vae)
