"""Whether an operator has paused the work pool or one of its queues: then generations wait.

A concurrency limit of 0 has the same effect and counts as a pause.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prefect.client.schemas.objects import WorkPool, WorkQueue

from core.loop import Loop
from flows.errors import FlowsError
from flows.prefect.runs import FlowRuns

LOOK_EVERY_S: Final = 2.0
ASKED_WITHIN_S: Final = 10.0
"""Prefect is asked only while there are readers: an idle Easel leaves it in peace."""


@dataclass(frozen=True)
class Paused:
    """Why runs wait, by queue: its own reason or that of the whole pool. A priority is a queue."""

    pool: str | None = None
    queues: Mapping[str, str] = field(default_factory=dict)

    def why(self, queue: str) -> str | None:
        """Returns why the runs of that queue wait; None when nothing holds them back."""
        return self.pool or self.queues.get(queue)


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
            pool, queues = await self._runs.work_pool()
        except FlowsError:
            self._seen = Paused()  # an unavailable Prefect is reported elsewhere
        else:
            self._seen = _paused(pool, queues)


def _paused(pool: WorkPool, queues: Iterable[WorkQueue]) -> Paused:
    said = {queue.name: _why(f"The work queue {queue.name}", queue) for queue in queues}
    return Paused(
        _why(f"The work pool {pool.name}", pool),
        {name: why for name, why in said.items() if why is not None},
    )


def _why(name: str, place: WorkPool | WorkQueue) -> str | None:
    if place.is_paused:
        return f"{name} is paused. Resume it in the Prefect UI."
    if place.concurrency_limit == 0:
        return f"{name} has a concurrency limit of 0. Raise or remove it in the Prefect UI."
    return None
