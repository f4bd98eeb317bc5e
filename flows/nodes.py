"""The node classes of a ComfyUI, kept in the store: the API knows them also where it cannot ask."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from comfy import ComfyClient, ComfyProtocolError, TransientComfyError
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
RECENT_S: Final = 5.0
"""How old what is known may be where a graph is fitted to it."""
_READ_KEPT: Final = 4
_read: OrderedDict[tuple[str, str], NodeCatalogue] = OrderedDict()
"""Those that were read, by their ComfyUI's URL and their digest."""
_recent: WeakKeyDictionary[Store, dict[str, tuple[float, NodeCatalogue]]] = WeakKeyDictionary()
"""Those that were asked for last, by store and URL, with the time."""


async def look_at_nodes(
    store: Store,
    client: ComfyClient,
    on_known: Callable[[], Awaitable[None]] | None = None,
    *,
    names: bool = True,
) -> NodeCatalogue:
    """Returns ComfyUI's node classes as they are now, and keeps them if they have changed.

    With them what can be done there; ``on_known`` is called once that is kept. ``names``: and the
    catalogue of what they offer, for who does not ask ComfyUI for that itself.
    Raises TransientComfyError, StoreUnavailableError.
    """
    info = await client.object_info()
    catalogue = await asyncio.to_thread(NodeCatalogue.from_object_info, info)
    if catalogue.classes:
        choices = await asyncio.to_thread(lambda: catalogue.file_choices)
        await store.offers.keep_nodes(client.base_url, tuple(catalogue.classes), choices)
        if on_known is not None:
            await on_known()
        data, digest = await asyncio.to_thread(packed, catalogue)
        await store.registry.keep_nodes(client.base_url, data, digest)
        if names:
            await _keep_names(store, client, info)
    return catalogue


async def _keep_names(store: Store, client: ComfyClient, info: Mapping[str, Any]) -> None:
    with contextlib.suppress(ComfyProtocolError):  # an old one does not say all of it
        names = (await client.catalogue(info)).to_json()
        if names != await store.registry.catalogue(client.base_url):
            await store.registry.keep_catalogue(client.base_url, names)


async def kept_judge(store: Store, *comfy_urls: str, paid_nodes: bool) -> Judge | None:
    """Returns what judges requests by the ComfyUIs' kept node classes, None while there are none.

    ``paid_nodes``: whether they may call paid services. Raises StoreUnavailableError.
    """
    known = [await kept_catalogue(store, url) for url in comfy_urls]
    found = [one for one in known if one is not None]
    if not found:
        return None
    united = found[0] if len(found) == 1 else await asyncio.to_thread(NodeCatalogue.union, found)
    return Judge(united, paid_nodes=paid_nodes)


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


async def recent_catalogue(store: Store, comfy_url: str) -> NodeCatalogue | None:
    """Returns the same as ``kept_catalogue``, as it was ``RECENT_S`` ago at most.

    Every generation is built by it, and even to ask whether it has changed costs milliseconds: it
    is a large row.
    """
    of_store = _recent.setdefault(store, {})
    known = of_store.get(comfy_url)
    now = time.monotonic()
    if known is not None and now - known[0] < RECENT_S:
        return known[1]
    catalogue = await kept_catalogue(store, comfy_url)
    if catalogue is not None:
        of_store[comfy_url] = now, catalogue
    return catalogue


def _keep(read: tuple[str, str], catalogue: NodeCatalogue) -> None:
    _read[read] = catalogue
    while len(_read) > _READ_KEPT:
        _read.popitem(last=False)


def looking_at_nodes(store: Store, client: ComfyClient) -> Loop:
    """Returns the loop that keeps them in the store up to date; wake it when ComfyUI is back."""

    async def look() -> None:
        await look_at_nodes(store, client, names=False)

    return Loop(
        "reading ComfyUI's node classes",
        look,
        every_s=LOOK_EVERY_S,
        first_s=0.0,
        retry_s=RETRY_S,
        expected=(TransientComfyError, StoreError),
    )
