"""A worker's background work: its heartbeat, and removing stray prompts from its ComfyUI."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from comfy import TransientComfyError
from core.loop import Loop
from flows.runtime import WORKER_LEASE, Runtime
from flows.worker.last_model import LastModel
from store.errors import StoreError
from store.values import Stray, WorkerRecord

HEARTBEAT_S: Final = 3.0
"""Seconds between two records of the worker in the store."""
STRAYS_LOOK_S: Final = 3.0
_STRAY_PATIENCE_S: Final = 5.0


class Upkeep:
    """Background loops, for the worker to start and to stop."""

    def __init__(
        self,
        runtime: Runtime,
        foreign_runs: Callable[[], Mapping[str, int]],
        slots: int,
        last_model: LastModel,
    ) -> None:
        self.heartbeat = Loop(
            "the heartbeat", self._beat, every_s=HEARTBEAT_S, first_s=0.0, expected=(StoreError,)
        )
        self.strays = Loop(
            "clearing strays",
            self._clear_strays,
            every_s=STRAYS_LOOK_S,
            first_s=0.0,
            expected=(StoreError, TransientComfyError),
            level=logging.DEBUG,
        )
        self._runtime = runtime
        self._foreign_runs = foreign_runs
        self._slots = slots
        self._last_model = last_model
        self._seconds_per_cost: float | None = None
        self._is_measured = False
        self._started_at = datetime.now(UTC)
        last_model.on_change = self.heartbeat.wake

    async def recall(self) -> None:
        """Take over what a former process of this worker knew. Raises StoreUnavailableError."""
        holder = self._runtime.holder
        for one in await self._runtime.store.registry.workers():
            if (one.name, one.comfy_url) == (holder.worker, holder.comfy_url):
                self._last_model.name = one.last_model
                self._seconds_per_cost = one.seconds_per_cost

    def measure(self) -> None:
        """Something has ended: the next record says how fast it was."""
        self._is_measured = False

    async def workers(self) -> set[UUID]:
        """Returns the leases of all workers; some may have lapsed."""
        leases = await self._runtime.store.leases.all()
        return {lease.holder for lease in leases if lease.name.startswith(WORKER_LEASE)}

    async def _beat(self) -> None:
        """Record in the store that this worker lives, and whether it reaches its ComfyUI."""
        store = self._runtime.store
        if not self._is_measured:
            self._is_measured = True
            measured = await store.generations.seconds_per_cost_of(self._runtime.holder.worker)
            self._seconds_per_cost = measured or self._seconds_per_cost
        await store.registry.record_worker(self._record())

    def _record(self) -> WorkerRecord:
        session, holder = self._runtime.session, self._runtime.holder
        return WorkerRecord(
            name=holder.worker,
            comfy_url=holder.comfy_url,
            comfy_reachable=session.reachable,
            detail=None if session.reachable else session.reachable_detail,
            started_at=self._started_at,
            seen_at=datetime.now(UTC),
            holder=holder.lease,
            foreign_runs=dict(self._foreign_runs()) or None,
            slots=self._slots,
            last_model=self._last_model.name,
            seconds_per_cost=self._seconds_per_cost,
        )

    async def _clear_strays(self) -> None:
        """Remove prompts that are not wanted any more from this worker's ComfyUI."""
        for stray in await self._runtime.store.strays.of(self._runtime.holder.comfy_url):
            await self._clear_stray(stray)

    async def _clear_stray(self, stray: Stray) -> None:
        runtime = self._runtime
        if not await runtime.store.strays.is_wanted(stray):
            if not await runtime.session.cancel(stray.prompt_id, patience_s=_STRAY_PATIENCE_S):
                return
            # Else the attempt, run here again, would find that it was interrupted.
            await runtime.session.forget(stray.prompt_id)
        await runtime.store.strays.gone(stray)
