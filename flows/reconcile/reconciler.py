"""The reconciler: brings rows and flow runs back in step after operators' actions and crashes.

What happens to a run while no worker has it is not reported. So at intervals everything that is
under way, generations and batches alike, is compared with its flow run and the workers' leases, and
mismatches are repaired, logged and counted. It runs in the API's process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Final
from uuid import uuid4

from core.loop import Loop
from flows.errors import FlowsError
from flows.prefect.runs import FlowRuns
from flows.reconcile.batches import Batches
from flows.reconcile.generations import Generations
from store.errors import StoreError
from store.leases import Lease, LeaseWatch
from store.store import Store

LEASE: Final = "reconciler"
BATCHES_LOOK_EVERY_S: Final = 1.0
HOUSEKEEPING_EVERY_S: Final = 3600.0
_log = logging.getLogger(__name__)


class Reconciler:
    """Use as an async context manager. ``look()`` is one round over everything.

    Of several processes one reconciles generations, and calls ``housekeeping`` each hour: that
    is what the lease is for. Every process reconciles batches, whose steps may be repeated: a
    batch must not wait until the lease of a killed API process has lapsed.
    """

    def __init__(
        self,
        store: Store,
        runs: FlowRuns,
        *,
        look_every_s: float,
        lease_s: float,
        housekeeping: Callable[[], Awaitable[None]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.watch = LeaseWatch(look_every_s, now)
        self._signals = store.database.hearing
        self._hearing = ExitStack()
        self._leases = store.leases
        self._lease_s = lease_s
        self._me = uuid4()
        self._leads = False
        self._housekeeping = housekeeping
        self._generations = Generations(store, runs, self.watch)
        self._batches = Batches(store, runs, self.watch)
        away = (FlowsError, StoreError)
        self._batch_loop = Loop(
            "reconciling batches",
            self._batches.look,
            every_s=BATCHES_LOOK_EVERY_S,
            expected=away,
            level=logging.DEBUG,
        )
        self._loops = (
            Loop(
                "reconciling generations",
                self._look_if_it_leads,
                every_s=look_every_s,
                expected=away,
                level=logging.DEBUG,
            ),
            self._batch_loop,
            Loop(
                "housekeeping",
                self._keep_house,
                every_s=HOUSEKEEPING_EVERY_S,
                first_s=4 * look_every_s,
                expected=(StoreError,),
            ),
        )

    async def __aenter__(self) -> Reconciler:
        self._hearing.enter_context(self._signals.listening("batches", self._batches.tell))
        for loop in self._loops:
            loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._hearing.close()
        await asyncio.gather(*(loop.stop() for loop in self._loops))
        try:
            await self._leases.give_up(LEASE, self._me)
        except StoreError as error:
            _log.debug("releasing the reconciler's lease failed; it will lapse: %s", error)

    def wake(self) -> None:
        """Reconcile batches at once: one was changed."""
        self._batches.tell()
        self._batch_loop.wake()

    async def look(self) -> int:
        """Run one round over everything. Returns the number of repairs."""
        return await self._generations.look() + await self._batches.look()

    async def _look_if_it_leads(self) -> None:
        self._leads = await self._lead()
        if self._leads:
            for lease in self.watch.long_gone():
                await self._leases.forget(lease)
            await self._generations.look()

    async def _lead(self) -> bool:
        """Returns whether this process has the lease. A dead process's is taken over."""
        leases = await self._leases.all()
        self.watch.look(leases)
        now: Lease | None = next((lease for lease in leases if lease.name == LEASE), None)
        if now is not None and now.holder == self._me:
            return await self._leases.renew(LEASE, self._me)
        if now is not None and self.watch.lives(now.holder):
            return False
        return await self._leases.take_free(LEASE, self._me, self._lease_s, now)

    async def _keep_house(self) -> None:
        if self._leads and self._housekeeping is not None:
            await self._housekeeping()
