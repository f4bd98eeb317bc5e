"""What the worker looks ahead at: due runs that Prefect told of and that were not taken yet.

Asking Prefect what is due takes a tenth of a second, and more under load. When a prompt leaves
ComfyUI the next is taken from here at once, and Prefect is asked beside the rendering.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prefect.client.schemas.responses import WorkerFlowRunResponse

GOOD_S: Final = 2.0
"""So long what Prefect told may be taken. A pause of the pool is heeded as late as that."""
REFRESH_S: Final = 0.5
"""After so long it is asked again if more has become due meanwhile, room or not."""


class Ahead:
    """Use from one event loop. ``news`` tells that runs have become due since Prefect was asked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._runs: tuple[WorkerFlowRunResponse, ...] = ()
        self._asked_at = float("-inf")
        self.news = False

    @property
    def runs(self) -> Sequence[WorkerFlowRunResponse]:
        """What may be taken without asking; nothing when Prefect must be asked."""
        return self._runs if self._age < GOOD_S else ()

    @property
    def is_to_be_refreshed(self) -> bool:
        """Whether more has become due, and Prefect was not asked just now."""
        return self.news and self._age >= REFRESH_S

    def asking(self) -> None:
        """Prefect is being asked now: what becomes due from here on is news again."""
        self._asked_at = self._clock()
        self._runs = ()
        self.news = False

    def left(self, runs: Iterable[WorkerFlowRunResponse]) -> None:
        """These were not taken, in Prefect's order."""
        self._runs = tuple(runs)

    def outdate(self) -> None:
        """Ask again before anything is taken: something may have to go first, or not at all."""
        self._asked_at = float("-inf")
        self.news = True

    @property
    def _age(self) -> float:
        return self._clock() - self._asked_at
