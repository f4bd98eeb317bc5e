"""Whether an operator has paused the work pool or one of its queues: then generations wait."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from flows.errors import FlowsError
from flows.prefect.runs import FlowRuns

_log = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 2.0
ASKED_WITHIN_S: Final = 10.0
"""Nobody looks while nobody asks: an idle Easel leaves Prefect in peace."""


@dataclass(frozen=True)
class Paused:
    """What is paused: the pool's name, and the names of queues. A queue's name is a priority."""

    pool: str | None = None
    queues: frozenset[str] = frozenset()

    def why(self, priority: str) -> str | None:
        """Why a generation of that priority waits; None when nothing is paused for it."""
        if self.pool is not None:
            return f"The work pool {self.pool} is paused. Resume it in the Prefect UI."
        if priority in self.queues:
            return f"The work queue {priority} is paused. Resume it in the Prefect UI."
        return None


class PauseWatch:
    """Use as an async context manager. ``now()`` answers at once, with what was seen last."""

    def __init__(self, runs: FlowRuns) -> None:
        self._runs = runs
        self._seen = Paused()
        self._asked = asyncio.Event()
        self._asked_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> PauseWatch:
        self._task = asyncio.create_task(self._run(), name="pause-watch")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def now(self) -> Paused:
        """What is paused, a few seconds old at most while somebody keeps asking."""
        self._asked_at = time.monotonic()
        self._asked.set()
        return self._seen

    async def _run(self) -> None:
        while True:
            await self._asked.wait()
            try:
                self._seen = Paused(*await self._runs.paused())
            except FlowsError:
                self._seen = Paused()  # that Prefect is away is told elsewhere
            except Exception:  # noqa: BLE001 - whatever it was, the next look may go through
                _log.exception("whether the work pool is paused cannot be seen")
            await asyncio.sleep(LOOK_EVERY_S)
            if time.monotonic() - self._asked_at > ASKED_WITHIN_S:
                self._asked.clear()
