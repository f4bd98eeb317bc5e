"""Housekeeping: what is removed each hour because of its age."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from core.callbacks.callback import GENERATION_ENDS, Callback
from core.settings import RetentionSettings
from flows.reconcile.housekeeping import Housekeeping
from flows.testing import InProcessWorker
from store.callbacks.values import DeliveryFilter
from store.store import Store
from tests.comfy.data import resolved


@pytest.mark.parametrize(("deliveries_days", "kept"), [(1e-9, 0), (30.0, 1)])
async def test_ended_deliveries_are_kept_for_so_many_days(
    store: Store, deliveries_days: float, kept: int
) -> None:
    gone = Callback(name="gone", events=GENERATION_ENDS)  # given up at once
    to_come = Callback(url="http://127.0.0.1:9/", events=GENERATION_ENDS)
    worker = InProcessWorker(store)
    for callback in (gone, to_come):
        accepted = await store.acceptance.accept(resolved(), callback=callback)
        await worker.succeed(await worker.start(accepted.generation.id))
    before = REGISTRY.get_sample_value("easel_removed_total", {"kind": "deliveries"}) or 0

    await Housekeeping(store, RetentionSettings(deliveries_days=deliveries_days))()

    left = await store.deliveries.page(DeliveryFilter(), 10, None)
    assert [one.name for one in left.items] == [None, *["gone"] * kept]
    removed = REGISTRY.get_sample_value("easel_removed_total", {"kind": "deliveries"}) or 0
    assert removed - before == 1 - kept
