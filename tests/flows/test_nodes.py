"""The node classes that a worker judges by: kept in the store, and read once."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from comfy.nodes import NodeCatalogue, packed
from flows import pipeline
from flows.nodes import kept_catalogue, kept_judge, paid_classes_of, recent_catalogue
from store.store import Store
from store.values import Claim
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


async def test_a_built_in_graph_is_fitted_without_asking_each_time(
    store: Store, claim: Claim
) -> None:
    await keep(store, claim.comfy_url, paid=False)

    with statements_of(store.database) as seen:
        for _ in range(10):
            await pipeline.build(store, claim)

    assert len([one for one in seen if "node_catalogues.digest" in one]) == 1
    # Its data at most once: another store of this process may have had the same.
    assert len([one for one in seen if "node_catalogues" in one]) <= 2


async def test_what_is_not_known_yet_is_asked_for_again(store: Store, claim: Claim) -> None:
    assert await recent_catalogue(store, claim.comfy_url) is None

    await keep(store, claim.comfy_url, paid=False)

    found = await recent_catalogue(store, claim.comfy_url)
    assert found is not None
    assert set(found.classes) == {"EmptyImage"}
