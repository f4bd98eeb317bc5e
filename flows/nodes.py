"""The node classes of a ComfyUI, kept in the store: the API knows them also where it cannot ask."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from comfy import ComfyClient, TransientComfyError
from comfy.nodes import NodeCatalogue, packed, unpacked
from comfy.workflows import Judge
from comfy.workflows.readiness import paid_classes
from core.loop import Loop
from core.workflows.declaration import Workflow
from store.errors import StoreError
from store.store import Store

LOOK_EVERY_S: Final = 300.0
"""Seconds between two looks: each keeps ComfyUI's event loop busy for 0.2 s."""
RETRY_S: Final = 5.0
_READ_KEPT: Final = 4
_read: OrderedDict[tuple[str, str], NodeCatalogue] = OrderedDict()
"""Those that were read, by their ComfyUI's URL and their digest."""


async def look_at_nodes(store: Store, client: ComfyClient) -> NodeCatalogue:
    """Returns ComfyUI's node classes as they are now, and keeps them if they have changed.

    Raises TransientComfyError, StoreUnavailableError.
    """
    catalogue = await client.node_catalogue()
    if catalogue.classes:
        data, digest = await asyncio.to_thread(packed, catalogue)
        await store.registry.keep_nodes(client.base_url, data, digest)
    return catalogue


async def kept_judge(store: Store, comfy_url: str, *, paid_nodes: bool) -> Judge | None:
    """Returns what judges requests by the ComfyUI's kept node classes, None while there are none.

    ``paid_nodes``: whether they may call paid services. Raises StoreUnavailableError.
    """
    catalogue = await kept_catalogue(store, comfy_url)
    return None if catalogue is None else Judge(catalogue, paid_nodes=paid_nodes)


def paid_classes_of(workflow: Workflow, known: NodeCatalogue | None) -> tuple[str, ...]:
    """Returns the node classes of a workflow that call paid services, as far as is ``known``."""
    if workflow.graph is None:
        return ()
    return paid_classes(workflow, frozenset() if known is None else known.paid)


async def kept_catalogue(store: Store, comfy_url: str) -> NodeCatalogue | None:
    """Returns a ComfyUI's kept node classes, None while there are none.

    They are megabytes: read again only when others are kept. Raises StoreUnavailableError.
    """
    digest = await store.registry.node_digest(comfy_url)
    if digest is None:
        return None
    known = _read.get((comfy_url, digest))
    if known is None:
        data = await store.registry.kept_nodes(comfy_url)
        if data is None:
            return None
        known = await asyncio.to_thread(unpacked, data)
        _keep((comfy_url, digest), known)
    return known


def _keep(read: tuple[str, str], catalogue: NodeCatalogue) -> None:
    _read[read] = catalogue
    while len(_read) > _READ_KEPT:
        _read.popitem(last=False)


def looking_at_nodes(store: Store, client: ComfyClient) -> Loop:
    """Returns the loop that keeps them in the store up to date; wake it when ComfyUI is back."""

    async def look() -> None:
        await look_at_nodes(store, client)

    return Loop(
        "reading ComfyUI's node classes",
        look,
        every_s=LOOK_EVERY_S,
        first_s=0.0,
        retry_s=RETRY_S,
        expected=(TransientComfyError, StoreError),
    )
