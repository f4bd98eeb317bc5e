"""The attempts that one process carries out, by their flow runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

from comfy import ComfySession
from flows import pipeline
from flows.attempts.attempt import Attempt, StopReason
from flows.pipeline import Assignment
from store.errors import HeldError, StoreUnavailableError
from store.store import Store
from store.values import Claim, Holder


class Attempts:
    """Use from one event loop. ``on_rendered`` is called when an attempt's prompt has left ComfyUI.

    An attempt stays known until ``forget``, so that its flow run finds it also when it is over.
    """

    def __init__(self, store: Store, session: ComfySession, holder: Holder, api_url: str) -> None:
        self.on_rendered: Callable[[UUID], None] = lambda _: None
        """Called with the flow run's id."""
        self._store: Final = store
        self._session: Final = session
        self._holder: Final = holder
        self._api_url: Final = api_url
        self._of_run: dict[UUID, Attempt] = {}
        self._claiming: dict[UUID, asyncio.Task[Attempt]] = {}
        self._newest: asyncio.Event | None = None

    def begin(self, claim: Claim, flow_run_id: UUID, *, in_step: bool = False) -> Attempt:
        """Begin a claimed attempt. ``in_step``: its stages wait for the flow run's tasks."""
        attempt = Attempt(
            self._store,
            self._session,
            claim,
            flow_run_id,
            api_url=self._api_url,
            before=self._newest,
            in_step=in_step,
            on_rendered=self._rendered,
        )
        self._newest = attempt.submitted
        self._of_run[flow_run_id] = attempt
        attempt.start()
        return attempt

    def begin_early(self, assignment: Assignment) -> None:
        """Claim and begin now, beside the rest of the flow run's start."""
        claiming = asyncio.create_task(self._claim(assignment))
        claiming.add_done_callback(_retrieved)
        self._claiming[assignment.flow_run_id] = claiming

    async def _claim(self, assignment: Assignment) -> Attempt:
        claim = await pipeline.claim(self._store, assignment, self._holder)
        return self.begin(claim, assignment.flow_run_id)

    async def of_run(self, flow_run_id: UUID) -> Attempt | None:
        """Returns the attempt that was begun for a flow run.

        None when there is none, or when its claim is to be tried again. Raises any other error of
        the claim.
        """
        claiming = self._claiming.get(flow_run_id)
        if claiming is not None:
            with suppress(HeldError, StoreUnavailableError):
                return await asyncio.shield(claiming)
        return self._of_run.get(flow_run_id)

    async def stop(self, flow_run_id: UUID, reason: StopReason) -> None:
        """Stop a flow run's attempt, and wait until it has ended or was given back."""
        claiming = self._claiming.get(flow_run_id)
        if claiming is not None:
            await asyncio.wait([claiming])
        attempt = self._of_run.get(flow_run_id)
        if attempt is not None:
            await attempt.stop(reason)

    def is_going(self, flow_run_id: UUID) -> bool:
        """Returns whether the run has an attempt that is not over, or is being claimed."""
        attempt, claiming = self._of_run.get(flow_run_id), self._claiming.get(flow_run_id)
        if attempt is not None:
            return not attempt.is_over
        return claiming is not None and not claiming.done()

    def forget(self, flow_run_id: UUID) -> None:
        """Forget the run's attempt, which is over."""
        self._claiming.pop(flow_run_id, None)
        self._of_run.pop(flow_run_id, None)

    def _rendered(self, attempt: Attempt) -> None:
        if attempt.flow_run_id is not None:
            self.on_rendered(attempt.flow_run_id)


def _retrieved(task: asyncio.Task[Attempt]) -> None:
    """Mark its error as retrieved: the flow sees it, and asyncio must not warn."""
    if not task.cancelled():
        task.exception()
