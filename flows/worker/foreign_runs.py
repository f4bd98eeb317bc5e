"""Runs of other stores in the worker's pool: never taken, never ended, and out of the way.

The worker's own runs must be found behind them, so they are scheduled for later, each time longer,
without having run. While the pool belongs to the other store they are left alone: its worker takes
them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from core.loop import Loop
from flows.prefect.foreign_runs import PAUSE_S, foreign, store_of
from store.errors import StoreUnavailableError
from store.store import Store

LONGEST_PAUSE_S: Final = 3600.0
REPORTED_S: Final = 60.0
"""A run that is not listed this long after its time is gone, or another worker has it."""


@dataclass(eq=False)
class _Sighting:
    run: FlowRun
    pause_s: float
    gone_at: float


class ForeignRuns:
    """Use from one event loop. ``settle`` gives a run another state if it is unchanged."""

    def __init__(self, store: Store, settle: Callable[[FlowRun, float], Awaitable[object]]) -> None:
        self._store = store
        self._settle = settle
        self._ours: frozenset[UUID] = frozenset()
        self._seen: dict[UUID, _Sighting] = {}
        self._to_put_back: dict[UUID, _Sighting] = {}
        self.owns_pool = False
        self.putting_back = Loop(
            "putting back runs of other stores",
            self._put_back,
            every_s=None,
            retry_s=PAUSE_S,
            expected=(Exception,),
        )

    async def among(self, runs: Sequence[FlowRun]) -> frozenset[UUID]:
        """Returns which of the due runs are not this store's; they are not to be taken.

        None while the store does not answer: a run's flow looks once more before it begins.
        """
        ids = frozenset(run.id for run in runs)
        new = [run for run in runs if run.id not in self._ours]
        found: frozenset[UUID] = frozenset()
        with suppress(StoreUnavailableError):
            found = await foreign(self._store, new) if new else found
            self._ours = ids - found
        for run in new:
            if run.id in found:
                self._note(run)
        if self._to_put_back:
            self.putting_back.wake()
        return found

    def by_store(self) -> dict[str, int]:
        """Returns how many wait, by the store that they were made for."""
        now = time.monotonic()
        self._seen = {key: one for key, one in self._seen.items() if one.gone_at > now}
        return dict(Counter(store_of(one.run) for one in self._seen.values()))

    def _note(self, run: FlowRun) -> None:
        before = self._seen.get(run.id)
        if before is not None and before.run.state_id == run.state_id:
            before.gone_at = time.monotonic() + before.pause_s + REPORTED_S
            return
        pause_s = min(LONGEST_PAUSE_S, 2 * before.pause_s) if before else PAUSE_S
        sighting = _Sighting(run, pause_s, time.monotonic() + pause_s + REPORTED_S)
        self._seen[run.id] = sighting
        if self.owns_pool:
            self._to_put_back[run.id] = sighting

    async def _put_back(self) -> None:
        while self._to_put_back:
            run_id, sighting = next(iter(self._to_put_back.items()))
            await self._settle(sighting.run, sighting.pause_s)
            self._to_put_back.pop(run_id, None)
