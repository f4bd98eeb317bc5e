"""What a worker does beside its runs: say that it lives, and take strays out of its ComfyUI."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from logging import Logger, LoggerAdapter
from typing import Any, Final
from uuid import UUID

from comfy import TransientComfyError
from flows.runtime import WORKER_LEASE, Runtime
from store.errors import StoreError
from store.values import Stray, WorkerRecord

HEARTBEAT_S: Final = 3.0
"""Seconds between two records of the worker in the store."""
STRAYS_LOOK_S: Final = 3.0
_CHANGE_LOOK_S: Final = 0.1
_STRAY_PATIENCE_S: Final = 5.0


class Upkeep:
    """Loops beside the runs; ``loops()`` gives them to whoever starts and ends them."""

    def __init__(self, runtime: Runtime, logger: Logger | LoggerAdapter[Any]) -> None:
        self.alone = False
        """Whether no other worker holds a lease, as far as was seen."""
        self._runtime = runtime
        self._logger = logger

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """To be run until they are cancelled."""
        return [self._beat(), self._clear_strays()]

    async def workers(self) -> set[UUID]:
        """The leases of all workers; some may have lapsed."""
        leases = await self._runtime.store.leases.all()
        found = {lease.holder for lease in leases if lease.name.startswith(WORKER_LEASE)}
        self.alone = found == {self._runtime.lease.holder}
        return found

    async def _beat(self) -> None:
        """Say in the store that this worker lives, and whether it reaches its ComfyUI."""
        started_at = datetime.now(UTC)
        session = self._runtime.session
        while True:
            try:
                await self._runtime.store.registry.record_worker(self._record(started_at))
                await self.workers()
            except StoreError as error:
                self._logger.warning("The store does not answer: %s", error)
            except Exception:
                self._logger.exception("The heartbeat stumbled; it goes on")
            was_reachable = session.reachable
            for _ in range(int(HEARTBEAT_S / _CHANGE_LOOK_S)):
                await asyncio.sleep(_CHANGE_LOOK_S)
                if session.reachable != was_reachable:
                    break

    def _record(self, started_at: datetime) -> WorkerRecord:
        session, holder = self._runtime.session, self._runtime.holder
        return WorkerRecord(
            name=holder.worker,
            comfy_url=holder.comfy_url,
            comfy_reachable=session.reachable,
            detail=None if session.reachable else session.reachable_detail,
            started_at=started_at,
            seen_at=datetime.now(UTC),
        )

    async def _clear_strays(self) -> None:
        """Take prompts that nobody wants out of this worker's ComfyUI."""
        runtime = self._runtime
        while True:
            try:
                for stray in await runtime.store.strays.of(runtime.holder.comfy_url):
                    await self._clear_stray(stray)
            except (StoreError, TransientComfyError) as error:
                self._logger.debug("Strays wait: %s", error)
            except Exception:
                self._logger.exception("Clearing strays stumbled; it goes on")
            await asyncio.sleep(STRAYS_LOOK_S)

    async def _clear_stray(self, stray: Stray) -> None:
        runtime = self._runtime
        if not await runtime.store.strays.is_wanted(stray):
            if not await runtime.session.cancel(stray.prompt_id, patience_s=_STRAY_PATIENCE_S):
                return
            # Else whoever does the attempt here again would read that it was interrupted.
            await runtime.session.forget(stray.prompt_id)
        await runtime.store.strays.gone(stray)
