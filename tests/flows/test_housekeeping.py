"""Housekeeping: what is removed each hour because of its age."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import update

from core.callbacks.callback import GENERATION_ENDS, Callback
from core.settings import RetentionSettings, UploadSettings
from flows.errors import PrefectUnavailableError
from flows.reconcile.housekeeping import Housekeeping
from flows.testing import InProcessWorker
from store.callbacks.values import DeliveryFilter
from store.errors import UploadExpiredError
from store.store import Store
from store.tables import uploads
from tests.comfy.data import resolved
from tests.flows.test_inputs import kept as kept_upload
from tests.harness.transactions import open_write


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


async def test_uploads_expire_unless_a_schedule_wants_them(store: Store, tmp_path: Path) -> None:
    upload = await kept_upload(store, tmp_path)
    old = datetime.now(UTC) - timedelta(days=31)
    async with open_write(store.database) as connection:
        await connection.execute(update(uploads).values(last_used_at=old))
    wanted: list[Collection[str] | None] = [None, {upload.id}, set()]

    async def ask() -> Collection[str]:
        found = wanted.pop(0)
        if found is None:
            raise PrefectUnavailableError("it is away")
        return found

    housekeeping = Housekeeping(store, RetentionSettings(), UploadSettings(), ask)
    for _ in range(2):
        await housekeeping()
        assert (await store.uploads.get(upload.id)).id == upload.id
    await housekeeping()
    with pytest.raises(UploadExpiredError):
        await store.uploads.get(upload.id)
