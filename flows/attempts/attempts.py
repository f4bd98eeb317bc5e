"""The attempts that one process carries out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

from comfy import ComfySession
from flows.attempts.attempt import Attempt
from flows.attempts.past import ShownAttempt
from flows.retries import patiently, until_given_up
from store.errors import StoreUnavailableError
from store.store import Store
from store.values import Claim

_log = logging.getLogger(__name__)


def _ignore(_attempt: Attempt) -> None:
    pass


class Attempts:
    """Use from one event loop.

    An attempt stays known until ``forget``, so that its flow run finds it also when it is over.
    While one is known, its run is not taken from Prefect (``flows/worker``): forget each.
    """

    def __init__(self, store: Store, session: ComfySession, api_url: str) -> None:
        self.on_rendered: Callable[[Attempt], None] = _ignore
        """Called when an attempt's prompt has left ComfyUI: the GPU is free."""
        self.on_over: Callable[[Attempt], None] = _ignore
        """Called when an attempt has ended, or was given back."""
        self.claiming: Final = asyncio.Lock()
        """Held by who claims an attempt and begins it: the store lets a worker claim what it holds.

        (The answer to its first claim may have been lost.)
        """
        self.idle: Final = asyncio.Event()
        """Set while no attempt is going."""
        self.idle.set()
        self._store: Final = store
        self._session: Final = session
        self._api_url: Final = api_url
        self._going: set[Attempt] = set()
        self._of_run: dict[UUID, ShownAttempt] = {}
        self._unshown: set[Attempt] = set()
        self._newest: asyncio.Event | None = None
        self._giving_back: set[asyncio.Task[None]] = set()
        self.given_up: Final = asyncio.Event()
        """Set when nothing waits for an absent store any longer: the worker stops."""

    @property
    def going(self) -> tuple[Attempt, ...]:
        """Returns those that are not over."""
        return tuple(self._going)

    def begin(self, claim: Claim, flow_run_id: UUID | None) -> Attempt:
        """Begin a claimed attempt. ``flow_run_id`` is None while it has no flow run."""
        attempt = Attempt(
            self._store,
            self._session,
            claim,
            flow_run_id,
            api_url=self._api_url,
            before=self._newest,
            on_rendered=self._rendered,
            on_over=self._over,
        )
        self._newest = attempt.submitted
        self._going.add(attempt)
        self.idle.clear()
        if flow_run_id is not None:
            self._of_run[flow_run_id] = attempt
        with until_given_up(self.given_up):
            attempt.start()
        return attempt

    async def stop(self, within_s: float) -> None:
        """Give back all that go, for ever: the worker stops.

        What the store does not take within that time is left to the lease, which lapses and says
        the same. It takes twice that time at most.
        """
        for attempt in self.going:
            attempt.ask_to_stop("release")
        await self._idle_within(within_s)
        self.given_up.set()
        await self._idle_within(within_s)

    async def _idle_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.idle.wait()

    def name_run(
        self, attempt: ShownAttempt, flow_run_id: UUID, deployment_id: UUID | None
    ) -> None:
        """Note which flow run shows an attempt, in place of a former one."""
        self._drop(attempt)
        attempt.flow_run_id, attempt.deployment_id = flow_run_id, deployment_id
        self._of_run[flow_run_id] = attempt

    def of_run(self, flow_run_id: UUID) -> ShownAttempt | None:
        """Returns the attempt that a flow run shows, or None."""
        return self._of_run.get(flow_run_id)

    def of_generation(self, generation_id: UUID) -> Attempt | None:
        """Returns the attempt at it that is going, or None."""
        found = (one for one in self._going if one.claim.generation_id == generation_id)
        return next(found, None)

    def forget(self, attempt: ShownAttempt) -> None:
        """Forget an attempt that nobody shows any more: now, or when it is over."""
        if isinstance(attempt, Attempt) and attempt in self._going:
            self._unshown.add(attempt)
        else:
            self._drop(attempt)

    def _drop(self, attempt: ShownAttempt) -> None:
        if attempt.flow_run_id is not None and self._of_run.get(attempt.flow_run_id) is attempt:
            del self._of_run[attempt.flow_run_id]

    def _rendered(self, attempt: Attempt) -> None:
        self.on_rendered(attempt)

    def _over(self, attempt: Attempt) -> None:
        self._going.discard(attempt)
        if not self._going:
            self.idle.set()
        if attempt in self._unshown:
            self._unshown.discard(attempt)
            self._drop(attempt)
        if attempt.fault is not None:
            _log.error("%s ended badly", attempt, exc_info=attempt.fault)
            task = asyncio.create_task(self._give_back(attempt))
            self._giving_back.add(task)
            task.add_done_callback(self._giving_back.discard)
        self.on_over(attempt)

    async def _give_back(self, attempt: Attempt) -> None:
        """Nothing may stay held without being worked on."""
        with suppress(StoreUnavailableError):  # the worker stops: its lease lapses
            await patiently(self._store.transitions.unclaim, attempt.claim)
