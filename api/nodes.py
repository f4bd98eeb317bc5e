"""The node classes that any registered worker's ComfyUI has, as the store keeps them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from comfy import ComfyClient, ComfyError
from comfy.address import Address
from comfy.nodes import NodeCatalogue, unpacked
from comfy.workflows import Judge
from core.loop import Loop
from flows.nodes import look_at_nodes, looking_at_nodes
from store.errors import StoreError
from store.store import Store

TAKE_OVER_S: Final = 5.0
"""Seconds between two looks into the store: workers keep there what their ComfyUIs have."""
FRESH_ENOUGH_S: Final = 10.0
"""A miss asks ComfyUI again, at most this often, so that new model files show at once."""


class NodesCache:
    """Use as an async context manager. ``judge`` is None as long as no ComfyUI was reached.

    ``paid_nodes``: whether workflows may call paid services.
    """

    def __init__(self, store: Store, comfy: Address, *, paid_nodes: bool) -> None:
        self.judge: Judge | None = None
        self._store = store
        self._paid_nodes = paid_nodes
        self.client = ComfyClient(comfy, timeout_s=15)
        self._known: dict[str, str] = {}
        self._catalogues: dict[str, NodeCatalogue] = {}
        self._asked = float("-inf")
        self._lock = asyncio.Lock()
        self._asking = looking_at_nodes(store, self.client)
        self._taking_over = Loop(
            "looking for newer node classes",
            self._take_over,
            every_s=TAKE_OVER_S,
            expected=(StoreError,),
        )

    async def __aenter__(self) -> NodesCache:
        await self._take_over()
        self._asking.start()
        self._taking_over.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._taking_over.stop()
        await self._asking.stop()
        await self.client.aclose()

    async def refreshed(self) -> Judge | None:
        """Returns what is known now, ComfyUI asked again unless that was done a moment ago."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._asked >= FRESH_ENOUGH_S:
                self._asked = now
                with contextlib.suppress(ComfyError, StoreError):
                    await look_at_nodes(self._store, self.client, names=False)
            with contextlib.suppress(StoreError):
                await self._take_over()
        return self.judge

    async def _take_over(self) -> None:
        digests = await self._store.registry.node_digests()
        registered = await self._store.registry.comfy_urls()
        known = {url: digest for url, digest in digests.items() if url in registered}
        if not known:
            own = self.client.base_url
            known = {url: digest for url, digest in digests.items() if url == own}
        if not known:  # of a ComfyUI that is not used any more, but better than nothing
            known = dict(list(digests.items())[-1:])
        if known != self._known:
            await self._read(known)
            self._known = known

    async def _read(self, digests: Mapping[str, str]) -> None:
        catalogues: dict[str, NodeCatalogue] = {}
        for url, digest in digests.items():
            if self._known.get(url) == digest:
                catalogues[url] = self._catalogues[url]
            elif (data := await self._store.registry.kept_nodes(url)) is not None:
                catalogues[url] = await asyncio.to_thread(unpacked, data)
        union = await asyncio.to_thread(NodeCatalogue.union, catalogues.values())
        self._catalogues = catalogues
        self.judge = Judge(union, paid_nodes=self._paid_nodes) if union.classes else None
