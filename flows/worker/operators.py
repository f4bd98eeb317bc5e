"""What an operator does in Prefect to a run that waits, or that does not show its attempt yet.

Prefect cancels and pauses such a run by itself, and tells of it by an event. The reconciler finds
what was missed.
"""

from __future__ import annotations

from typing import Final, Literal
from uuid import UUID

from core.loop import Loop
from core.status import FINAL
from flows.attempts.attempt import Attempt
from flows.reconcile.rules import PAUSED
from flows.runtime import Runtime
from store.errors import StoreError
from store.values import UnderWay

RETRY_S: Final = 1.0
Act = Literal["cancelled", "paused"]


class Operators:
    """``note`` takes what an event told; ``loop`` applies it to the generation."""

    def __init__(self, runtime: Runtime) -> None:
        self.loop: Final = Loop(
            "applying what operators did",
            self._apply,
            every_s=None,
            retry_s=RETRY_S,
            expected=(StoreError,),
        )
        self._runtime = runtime
        self._noted: dict[UUID, Act] = {}

    def note(self, flow_run_id: UUID, act: Act) -> None:
        """Apply it soon."""
        self._noted[flow_run_id] = act
        self.loop.wake()

    async def _apply(self) -> None:
        while self._noted:
            flow_run_id, act = next(iter(self._noted.items()))
            await self._apply_one(flow_run_id, act)
            if self._noted.get(flow_run_id) == act:
                del self._noted[flow_run_id]

    async def _apply_one(self, flow_run_id: UUID, act: Act) -> None:
        seen = await self._runtime.store.generations.of_run(flow_run_id)
        if seen is None or seen.generation.status in FINAL:
            return
        if seen.holder == self._runtime.lease.holder and act == "cancelled":
            attempt = self._runtime.attempts.of_run(flow_run_id)
            if isinstance(attempt, Attempt):
                attempt.ask_to_stop("cancel")
        elif seen.holder is None:
            await self._apply_to_waiting(seen, flow_run_id, act)

    async def _apply_to_waiting(self, seen: UnderWay, flow_run_id: UUID, act: Act) -> None:
        transitions, generation = self._runtime.store.transitions, seen.generation
        if act == "paused":
            await transitions.let_go(generation.id, flow_run_id, generation.fence, PAUSED)
        else:
            await transitions.settle(generation.id, flow_run_id, "cancelled", None)
