"""Whether an operator has paused the work pool or one of its queues: then generations wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from core.loop import Loop
from flows.errors import FlowsError
from flows.prefect.runs import FlowRuns

LOOK_EVERY_S: Final = 2.0
ASKED_WITHIN_S: Final = 10.0
"""Prefect is asked only while there are readers: an idle Easel leaves it in peace."""


@dataclass(frozen=True)
class Paused:
    """What is paused: the pool's name, and names of queues. A queue is named by its priority."""

    pool: str | None = None
    queues: frozenset[str] = frozenset()

    def why(self, priority: str) -> str | None:
        """Returns why a generation of that priority waits; None when nothing is paused for it."""
        if self.pool is not None:
            return f"The work pool {self.pool} is paused. Resume it in the Prefect UI."
        if priority in self.queues:
            return f"The work queue {priority} is paused. Resume it in the Prefect UI."
        return None


class PauseWatch:
    """Use as an async context manager. ``now()`` returns at once, with the last known state."""

    def __init__(self, runs: FlowRuns) -> None:
        self._runs = runs
        self._seen = Paused()
        self._asked_at = float("-inf")
        self._loop = Loop("looking for pauses", self._look, every_s=LOOK_EVERY_S)

    async def __aenter__(self) -> PauseWatch:
        self._loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._loop.stop()

    def now(self) -> Paused:
        """Returns what is paused, at most a few seconds old while it is read regularly."""
        if not self._is_asked:
            self._loop.wake()
        self._asked_at = time.monotonic()
        return self._seen

    @property
    def _is_asked(self) -> bool:
        return time.monotonic() - self._asked_at <= ASKED_WITHIN_S

    async def _look(self) -> None:
        if not self._is_asked:
            return
        try:
            self._seen = Paused(*await self._runs.paused())
        except FlowsError:
            self._seen = Paused()  # an unavailable Prefect is reported elsewhere
