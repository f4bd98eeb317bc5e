"""A worker's registration in Prefect: its pool, which is its store's, and the deployments.

While Prefect is away a worker registers later. Prefect may come back with another database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from core.loop import Loop
from flows.errors import OtherStoreError
from flows.prefect.deployments import prepare_pool, register_deployments
from flows.prefect.pool_owner import is_owner
from flows.prefect.private.worker import PrefectWorker
from flows.prefect.runs import ANSWER_S, DEPLOYMENT, is_absence
from flows.prefect.stored_deployments import deployment_by_name
from flows.worker.events import EventStream
from store.store import Store

AGAIN_S: Final = 1.0
"""Seconds between two tries to reach a Prefect that is away."""
LOOK_EVERY_S: Final = 10.0
"""Seconds between two checks that the pool is still this store's: if Prefect lost its database,
it does not say so any more."""
THERE_FOR_S: Final = 30.0
"""Seconds between two checks that Prefect still has the pool and the deployment."""


class Registration:
    """First ``await begin()``, then start ``loop``, which keeps the worker registered.

    ``claim`` makes sure that the pool is this store's, or raises OtherStoreError. ``on_first`` is
    called once Prefect has this worker, ``on_again`` when it was registered later or anew.
    """

    def __init__(
        self,
        worker: PrefectWorker,
        store: Store,
        stream: EventStream,
        claim: Callable[[PrefectClient], Awaitable[None]],
        on_first: Callable[[], Awaitable[None]],
        on_again: Callable[[], None],
    ) -> None:
        self.loop: Final = Loop(
            "registering pool and deployments",
            self._stay,
            every_s=LOOK_EVERY_S,
            retry_s=AGAIN_S,
            expected=(Exception,),
        )
        self.is_done = False
        """Whether Prefect has this worker."""
        self.pool_lost: Final = asyncio.Event()
        """Set when another store has taken the pool over: the worker stops."""
        self._there_until = float("-inf")
        self._worker = worker
        self._store = store
        self._stream = stream
        self._claim = claim
        self._on_first = on_first
        self._on_again = on_again

    async def claim_first(self) -> bool:
        """Claim the pool, before this worker shows up in it. Returns False while Prefect is away.

        What operators hold back is in the store then. Where no worker has kept it yet, this waits.
        Raises OtherStoreError.
        """
        said = False
        while True:
            try:
                async with asyncio.timeout(ANSWER_S), get_client() as client:
                    await client.raise_for_api_version_mismatch_once()
                    await self._claim(client)
            except Exception as error:
                if not (isinstance(error, TimeoutError) or is_absence(error)):
                    raise
            else:
                return True
            if await self._store.registry.gate(self._worker.pool_name) is not None:
                self._worker.logger.warning(
                    "Prefect is away: this worker takes what waits, and registers when it is back"
                )
                return False
            if not said:
                self._worker.logger.warning(
                    "Prefect is away: this worker waits for it before it begins"
                )
            said = True
            await asyncio.sleep(AGAIN_S)

    async def begin(self) -> None:
        """Register, at the start. Raises OtherStoreError."""
        worker = self._worker
        await prepare_pool(worker.client, worker.pool_name, worker.type)
        await self._claim(worker.client)
        await register_deployments(worker.client)

    async def begun(self) -> None:
        """Prefect has this worker."""
        self.is_done = True
        await self._on_first()

    async def _stay(self) -> None:
        """Register again if Prefect came back with another database, without our pool."""
        if self.is_done and await self._is_as_it_was():
            return
        if self.is_done and await self._is_still_there():
            await self._stay_owner()
            return
        worker = self._worker
        # A worker that begins while Prefect is away must not change another store's pool.
        if not self.is_done and not await self._stay_owner():
            return
        await prepare_pool(worker.client, worker.pool_name, worker.type)
        if not await self._stay_owner():
            return
        await register_deployments(worker.client)
        await worker.sync_with_backend()
        worker.use_pool(await worker.client.read_work_pool(worker.pool_name))
        if not self.is_done:
            await self.begun()
        await self._stream.renew()  # its filter names the former pool
        self._on_again()

    async def _is_as_it_was(self) -> bool:
        """Returns whether all was there lately, and the pool is still this store's."""
        pool_id = self._worker.work_pool.id
        if time.monotonic() >= self._there_until or pool_id != self._stream.pool_id:
            return False
        return await is_owner(self._worker.client, pool_id, self._store.identity)

    async def _is_still_there(self) -> bool:
        worker = self._worker
        try:
            pool = await worker.client.read_work_pool(worker.pool_name)
            await deployment_by_name(worker.client, DEPLOYMENT)
        except ObjectNotFound:
            worker.logger.warning("Prefect has no such pool or deployment: registering again")
            return False
        # The worker's channel may have told of another pool before: what listens has to follow.
        is_there = pool.id == worker.work_pool.id == self._stream.pool_id
        self._there_until = time.monotonic() + THERE_FOR_S if is_there else float("-inf")
        return is_there

    async def _stay_owner(self) -> bool:
        """Returns False when another store has taken the pool over."""
        try:
            await self._claim(self._worker.client)
        except OtherStoreError as error:
            self._worker.logger.error("Stopping: %s", error)  # noqa: TRY400 - no fault of this program
            self.pool_lost.set()
            return False
        return True
