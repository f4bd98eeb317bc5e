"""Tells Prefect of attempts that ended without its knowing: their worker died before it did.

Also of those that this worker gave up leading, when it begins again.
"""

from __future__ import annotations

import logging
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
AT_ONCE: Final = 8
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
        self._seen: set[tuple[UUID, int]] = set()

    async def _look(self) -> None:
        store, mine = self._runtime.store, self._runtime.lease.holder
        leases = await store.leases.all()
        self._watch.look(leases)
        others = {one.holder for one in leases if self._watch.lives(one.holder)} - {mine}
        seen: set[tuple[UUID, int]] = set()
        for untold in await store.queue.untold(AT_ONCE, others, self._leading.leads):
            key = untold.generation_id, untold.attempt
            # By no clock: the one by which it ended may have been hours ahead.
            if untold.holder == mine and key not in self._seen:
                seen.add(key)  # its flow may be about to tell
            elif await store.queue.take_untold(untold, mine):
                await self._tell(untold)
        self._seen = seen

    async def _tell(self, untold: Untold) -> None:
        past = await self._past(untold)
        if past is None:
            await self._runtime.store.transitions.told(untold.generation_id, untold.attempt)
            return
        _log.info("%s ended without Prefect; telling it now", past)
        if past.flow_run_id is not None:
            self._runtime.attempts.name_run(past, past.flow_run_id, past.deployment_id)
        self._leading.begin(past)

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
