"""The ComfyUIs' catalogue, cached: refreshed at intervals, and when a name is not in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from comfy import Catalogue, ComfyClient, ComfyError
from comfy.address import Address
from core.loop import Loop
from store.errors import StoreError
from store.store import Store

REFRESH_S: Final = 60.0
RETRY_S: Final = 2.0
TAKE_OVER_S: Final = 5.0
"""Seconds between two looks at the catalogue in the store: a worker keeps a newer one there when
ComfyUI refuses a name."""
FRESH_ENOUGH_S: Final = 2.0
"""A miss asks ComfyUI again, at most this often, so that new model files show at once."""


class CatalogueCache:
    """Use as an async context manager. The last known catalogues are kept in the store.

    What counts is what the ComfyUIs of registered workers offer together, whether they are
    reachable or not; as long as nothing is known of these, what the API's own one offers.
    """

    def __init__(self, store: Store, comfy: Address) -> None:
        self._store = store
        self._client = ComfyClient(comfy, timeout_s=10)
        self._url = comfy.url
        self._catalogue: Catalogue | None = None
        self._own: Catalogue | None = None
        self._asked = float("-inf")
        self._lock = asyncio.Lock()
        self._loop = Loop(
            "reading ComfyUI's catalogue",
            self._ask,
            every_s=REFRESH_S,
            first_s=0.0,
            retry_s=RETRY_S,
            expected=(ComfyError, StoreError),
        )
        self._taken_over: Mapping[str, datetime] = {}
        self._known: dict[str, Catalogue] = {}
        self._taking_over = Loop(
            "looking for a newer catalogue",
            self._take_over,
            every_s=TAKE_OVER_S,
            expected=(StoreError,),
        )

    async def __aenter__(self) -> CatalogueCache:
        await self._take_over()
        self._loop.start()
        self._taking_over.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._taking_over.stop()
        await self._loop.stop()
        await self._client.aclose()

    @property
    def current(self) -> Catalogue | None:
        """Returns the newest catalogue; None when ComfyUI was never reached."""
        return self._catalogue

    async def refreshed(self) -> Catalogue | None:
        """Returns the catalogue, refreshed unless that was done a moment ago."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._asked >= FRESH_ENOUGH_S:
                self._asked = now
                with contextlib.suppress(ComfyError, StoreError):
                    await self._ask()
        return self._catalogue

    async def _take_over(self) -> None:
        kept_at = await self._store.registry.catalogues_at()
        registered = await self._store.registry.comfy_urls()
        used = {url: kept_at[url] for url in registered & kept_at.keys()}
        if not used and self._url in kept_at:
            used = {self._url: kept_at[self._url]}
        if used == self._taken_over:
            return
        for url in [url for url, at in used.items() if self._taken_over.get(url) != at]:
            kept = await self._store.registry.catalogue(url)
            # One that cannot be read says nothing: what is known is kept.
            read = Catalogue.from_json(kept)
            if read is not None:
                self._known[url] = read
        self._taken_over = used
        in_order = sorted(used, key=lambda url: (url != self._url, url))
        united = Catalogue.union(self._known[url] for url in in_order if url in self._known)
        if united is not None and united != self._catalogue:
            self._catalogue = united  # the same object as long as nothing changes

    async def _ask(self) -> None:
        catalogue = await self._client.catalogue()
        if catalogue != self._own:
            await self._store.registry.keep_catalogue(self._url, catalogue.to_json())
            self._own = catalogue
        await self._take_over()
