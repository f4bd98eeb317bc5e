"""The node classes that a worker judges by: kept in the store, and read once."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from comfy.nodes import NodeCatalogue, packed
from flows.nodes import kept_catalogue, kept_judge, paid_classes_of
from store.store import Store
from tests.comfy.data import PAID, TWIN
from tests.harness.statements import statements_of

NONE: dict[str, object] = {"input": {}, "output": []}


async def keep(store: Store, url: str, *, paid: bool) -> None:
    classes = {"EmptyImage": {**NONE, "api_node": paid}}
    data, digest = await asyncio.to_thread(packed, NodeCatalogue.from_object_info(classes))
    await store.registry.keep_nodes(url, data, digest)


async def test_the_node_classes_are_read_when_they_change(store: Store) -> None:
    url = f"http://{uuid4().hex}"
    own = TWIN.model_copy(update={"graph": {"1": {"class_type": "EmptyImage", "inputs": {}}}})
    assert await kept_judge(store, url, paid_nodes=False) is None
    assert paid_classes_of(PAID, await kept_catalogue(store, url)) == PAID.requires.paid

    await keep(store, url, paid=False)
    with statements_of(store.database) as seen:
        judge = await kept_judge(store, url, paid_nodes=False)
        assert paid_classes_of(own, await kept_catalogue(store, url)) == ()
        again = await kept_judge(store, url, paid_nodes=False)

    assert judge is not None
    assert again is not None
    assert judge.catalogue is again.catalogue
    assert len([one for one in seen if "node_catalogues.data" in one]) == 1

    await keep(store, url, paid=True)
    assert paid_classes_of(own, await kept_catalogue(store, url)) == ("EmptyImage",)
