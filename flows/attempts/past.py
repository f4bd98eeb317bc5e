"""An attempt that has ended, as it was kept: its flow run is shown afterwards.

Its worker died before Prefect knew how it went, or Prefect was away for longer than it remembered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from flows.attempts.attempt import Attempt, Kept, Outcome, StopReason, Unkept
from flows.attempts.record import Record
from flows.attempts.stage import Stage
from flows.errors import PastError
from flows.pipeline import Ended
from store.values import Artefact, Claim, Untold


@dataclass(eq=False)
class PastAttempt:
    """Shown as an ``Attempt`` is. ``claim`` is none that holds anything."""

    claim: Claim
    untold: Untold
    artefacts: tuple[Artefact, ...]
    flow_run_id: UUID | None = field(init=False)
    deployment_id: UUID | None = field(init=False)
    record: Record = field(init=False)
    is_over: Final = True

    def __post_init__(self) -> None:
        self.flow_run_id = self.untold.flow_run_id
        self.deployment_id = self.untold.deployment_id
        self.record = Record("easel.attempt", lambda: None)

    def __str__(self) -> str:
        return f"attempt {self.claim.attempt} at generation {self.claim.generation_id}"

    async def stages(self) -> AsyncIterator[Stage]:
        """Yields each stage; all of them are over."""
        for written in self.untold.stages:
            stage = Stage.from_json(written, self.untold.ended_at)
            if stage is not None:
                yield stage

    async def outcome(self) -> Outcome:
        """Returns how it ended."""
        if self.untold.outcome == "succeeded":
            return Kept(self.artefacts)
        detail = self.untold.error.detail if self.untold.error is not None else "Cancelled."
        how: Literal["failed", "cancelled"]
        how = "failed" if self.untold.outcome == "failed" else "cancelled"
        return Unkept(Ended(how, detail), PastError(detail), is_foreseen=True)

    async def stop(self, reason: StopReason) -> None:
        """There is nothing to stop."""

    def follow(self, on_progress: object) -> None:
        """There is no progress any more."""


ShownAttempt = Attempt | PastAttempt
