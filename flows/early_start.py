"""The early start: claim and submit while Prefect still does its bookkeeping for the flow run.

Submitting is idempotent by ``prompt_id``, so it need not wait for the flow: the flow takes over
the claim, and its own submit task joins the submission.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from comfy import Submitted
from flows import pipeline, submitting
from flows.pipeline import Assignment, Session
from store.errors import HeldError, StoreUnavailableError
from store.store import Store
from store.values import Claim, Holder

IN_TURN_S: Final = 1.0
"""Maximum seconds that a submission waits for the one before it."""


@dataclass(eq=False)
class EarlyStart:
    """A claim and a submission in progress.

    ``adopted`` turns true when the flow takes the claim over, ``joined`` when its submit task
    takes the submission.
    """

    claim: asyncio.Task[Claim]
    submission: asyncio.Task[Submitted]
    adopted: bool = False
    joined: bool = False

    def is_for(self, claim: Claim) -> bool:
        """Returns whether the flow that holds ``claim`` took over this early start."""
        return self.adopted and self.claim.result().prompt_id == claim.prompt_id


class EarlyStarts:
    """The early starts of one worker, by flow run id."""

    def __init__(self, store: Store, session: Session, holder: Holder) -> None:
        self._store = store
        self._session = session
        self._holder = holder
        self._begun: dict[UUID, EarlyStart] = {}
        self._newest_submission: asyncio.Task[Submitted] | None = None

    def begin(self, assignment: Assignment) -> EarlyStart:
        """Claim and submit now, concurrently with the rest of the run's start."""
        claiming = asyncio.create_task(pipeline.claim(self._store, assignment, self._holder))
        submitting = asyncio.create_task(self._submit(claiming, self._newest_submission))
        for task in (claiming, submitting):
            task.add_done_callback(_retrieved)
        early = EarlyStart(claiming, submitting)
        self._begun[assignment.flow_run_id] = early
        self._newest_submission = submitting
        return early

    async def _submit(
        self, claiming: asyncio.Task[Claim], before: asyncio.Task[Submitted] | None
    ) -> Submitted:
        claim = await asyncio.shield(claiming)
        if before is not None:  # two runs taken together are posted in their order
            await asyncio.wait([before], timeout=IN_TURN_S)
        workflow = await pipeline.build(self._store, claim)
        fresh = not claim.submitted_before
        return await submitting.submit(self._store, self._session, claim, workflow, fresh=fresh)

    async def take_over(self, flow_run_id: UUID) -> Claim | None:
        """Returns the run's claim; from here on the flow is responsible for its end.

        None when there was no early start, or when the claim is to be tried again. Raises any
        other error of the claim.
        """
        early = self._begun.get(flow_run_id)
        if early is not None:
            with suppress(HeldError, StoreUnavailableError):
                claim = await asyncio.shield(early.claim)
                early.adopted = True
                return claim
        return None

    async def join(self, claim: Claim) -> Submitted | None:
        """Wait for the submission of a claim that was taken over. Returns None the second time."""
        for early in self._begun.values():
            if early.is_for(claim) and not early.joined:
                early.joined = True
                return await asyncio.shield(early.submission)
        return None

    async def stop(self, flow_run_id: UUID) -> None:
        """End the submission, so that it cannot post what is being cancelled."""
        early = self._begun.get(flow_run_id)
        if early is not None:
            early.submission.cancel()
            await asyncio.wait([early.submission])

    def is_left(self, flow_run_id: UUID) -> bool:
        """Returns whether the run has an early start that no flow took over."""
        early = self._begun.get(flow_run_id)
        return early is not None and not early.adopted

    async def end(self, flow_run_id: UUID, *, cancelled: bool) -> None:
        """Undo an early start that no flow took over: the run was stopped before it began.

        ``cancelled``: the attempt is not wanted any more; else it is released.
        """
        early = self._begun.get(flow_run_id)
        if early is None:
            return
        try:
            if not early.adopted:
                await self._undo(flow_run_id, early, cancelled=cancelled)
        finally:
            del self._begun[flow_run_id]

    async def _undo(self, flow_run_id: UUID, early: EarlyStart, *, cancelled: bool) -> None:
        await asyncio.wait([early.claim])
        await self.stop(flow_run_id)
        if early.claim.cancelled() or early.claim.exception() is not None:
            return
        claim = early.claim.result()
        if cancelled:
            await pipeline.cancel(self._store, self._session, claim)
        else:
            await pipeline.release(self._store, self._session, claim)


def _retrieved(task: asyncio.Task[Any]) -> None:
    """Mark its error as retrieved: the flow sees it on take-over, and asyncio must not warn."""
    if not task.cancelled():
        task.exception()
