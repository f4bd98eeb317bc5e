"""Housekeeping: removes old rows and pictures each hour, orphaned files each day."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client import Counter

from core.settings import RetentionSettings, UploadSettings
from flows.errors import FlowsError
from store.audit import Audit
from store.retention import Retention
from store.store import Store

AUDIT_EVERY_S: Final = 86_400.0
WORKERS_DAYS: Final = 7.0
"""Days that a worker stays registered without being seen: what only it can do waits for it."""
_log = logging.getLogger(__name__)

REMOVED: Final = Counter("easel_removed", "What housekeeping removed, by what it was", ["kind"])


WantedUploads = Callable[[], Awaitable[Collection[str]]]
"""Returns the ids of uploads that something outside the store refers to, such as schedules."""


async def _none_wanted() -> Collection[str]:
    return ()


class Housekeeping:
    """Called each hour by the one process that reconciles."""

    def __init__(
        self,
        store: Store,
        retention: RetentionSettings,
        uploads: UploadSettings | None = None,
        wanted_uploads: WantedUploads | None = None,
    ) -> None:
        self._retention = Retention(store.database, store.files)
        self._deliveries = store.deliveries
        self._workers = store.registry
        self._audit = Audit(store.database, store.files)
        self._settings = retention
        self._uploads = store.uploads
        self._upload_settings = uploads or UploadSettings()
        self._wanted_uploads = wanted_uploads or _none_wanted
        self._audited_at = float("-inf")

    async def __call__(self) -> None:
        """Do what is due. Raises StoreError; the next call does the rest."""
        now = datetime.now(UTC)
        swept = await self._retention.sweep(
            now,
            pictures_days=self._settings.pictures_days,
            generations_days=self._settings.generations_days,
        )
        await self._workers.forget_workers(now - timedelta(days=WORKERS_DAYS))
        ended_before = now - timedelta(days=self._settings.deliveries_days)
        deliveries = await self._deliveries.sweep(ended_before)
        removed = (
            ("images", swept.pictures),
            ("generations", swept.generations),
            ("batches", swept.batches),
            ("deliveries", deliveries),
        )
        for kind, count in removed:
            if count:
                REMOVED.labels(kind).inc(count)
                _log.info("removed by age: %d %s", count, kind)
        await self._expire_uploads(now)
        if time.monotonic() - self._audited_at >= AUDIT_EVERY_S:
            await self._look_through_files()
            self._audited_at = time.monotonic()

    async def _expire_uploads(self, now: datetime) -> None:
        try:
            wanted = await self._wanted_uploads()
        except FlowsError as error:  # Prefect is away: nothing is removed that it may refer to
            _log.info("uploads are kept for now: %s", error)
            return
        unused_since = now - timedelta(days=self._upload_settings.keep_days)
        count = await self._uploads.expire(unused_since, wanted)
        if count:
            REMOVED.labels("uploads").inc(count)
            _log.info("removed by age: %d uploads", count)

    async def _look_through_files(self) -> None:
        async for finding in self._audit.findings(repair=True):
            REMOVED.labels(finding.kind).inc(finding.repaired)
            _log.warning("%s: %s (%s)", finding.kind, finding.path, finding.detail)
