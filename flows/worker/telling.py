"""Tells Prefect of attempts that ended without its knowing: their worker died before it did.

Also of those that this worker gave up leading, when it begins again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final
from uuid import UUID

from core.ids import prompt_id
from core.loop import Loop
from core.requests import ResolvedRequest
from flows.attempts.past import PastAttempt
from flows.runtime import Runtime
from flows.worker.leading import Leading
from store.errors import NotFoundError, StoreError
from store.leases import LeaseWatch
from store.values import Claim, Untold

LOOK_EVERY_S: Final = 10.0
AFTER_S: Final = 5.0
"""Seconds in which a flow that showed an attempt to its end may tell of it itself."""
NOTED_S: Final = 60.0
"""How long it is kept when such an attempt was first seen: its flow tells soon, or never."""
AT_ONCE: Final = 8
"""How many are being told: more follow as they are."""
_log = logging.getLogger(__name__)


class Telling:
    """``loop`` looks for such attempts, and has their flow runs led."""

    def __init__(self, runtime: Runtime, leading: Leading) -> None:
        self.loop: Final = Loop(
            "telling Prefect of what ended without it",
            self._look,
            every_s=LOOK_EVERY_S,
            first_s=0.0,
            expected=(StoreError,),
        )
        self._runtime = runtime
        self._leading = leading
        self._watch = LeaseWatch(LOOK_EVERY_S)
        self._going: set[asyncio.Task[None]] = set()
        self._are_more = False
        """Whether the last look found as many as there was room for."""
        self._noted: dict[tuple[UUID, int], float] = {}
        """This worker's own that nobody leads, and when they were first seen (monotonic)."""

    async def _look(self) -> None:
        room = AT_ONCE - len(self._going)
        if room <= 0:
            return
        store, mine = self._runtime.store, self._runtime.lease.holder
        leases = await store.leases.all()
        self._watch.look(leases)
        others = {one.holder for one in leases if self._watch.lives(one.holder)} - {mine}
        found = await store.queue.untold(room, others, self._is_about_to_be_told)
        now = time.monotonic()
        noted = {key: since for key, since in self._noted.items() if now - since < NOTED_S}
        self._noted = noted
        for untold in found:
            key = untold.generation_id, untold.attempt
            if untold.holder == mine and key not in noted:
                noted[key] = now
            elif await store.queue.take_untold(untold, mine):
                await self._tell(untold)
        self._are_more = len(found) == room

    def _is_about_to_be_told(self, generation_id: UUID, attempt: int) -> bool:
        """Returns whether this worker leads its run, or its flow ended a moment ago."""
        # The clock by which it ended may have been hours ahead: it is seen for so long.
        since = self._noted.get((generation_id, attempt))
        is_fresh = since is not None and time.monotonic() - since < AFTER_S
        return is_fresh or self._leading.leads(generation_id, attempt)

    async def _tell(self, untold: Untold) -> None:
        past = await self._past(untold)
        if past is None:
            await self._runtime.store.flow_runs.told(untold.generation_id, untold.attempt)
            return
        _log.info("%s ended without Prefect; telling it now", past)
        if past.flow_run_id is not None:
            self._runtime.attempts.name_run(past, past.flow_run_id, past.deployment_id)
        telling = self._leading.begin(past)
        self._going.add(telling)
        telling.add_done_callback(self._told)

    def _told(self, telling: asyncio.Task[None]) -> None:
        self._going.discard(telling)
        if self._are_more and len(self._going) <= AT_ONCE // 2:
            self.loop.wake()

    async def _past(self, untold: Untold) -> PastAttempt | None:
        """Returns the attempt; None if nobody can see any more what was asked for."""
        store = self._runtime.store
        try:
            generation = await store.generations.get(untold.generation_id)
        except NotFoundError:
            return None
        if not isinstance(generation.request, ResolvedRequest):
            return None
        claim = Claim(
            generation_id=generation.id,
            attempt=untold.attempt,
            fence=-1,
            prompt_id=prompt_id(generation.id, untold.attempt),
            request=generation.request,
            comfy_url=self._runtime.holder.comfy_url,
            submitted_before=True,
            flow_run_id=untold.flow_run_id,
            deployment_id=untold.deployment_id,
            batch_id=generation.batch_id,
            created_at=generation.created_at,
        )
        return PastAttempt(claim, untold, await store.generations.artefacts(generation.id))
