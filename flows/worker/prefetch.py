"""The worker's prefetch: due runs that Prefect listed and that were not taken yet.

Asking Prefect what is due takes a tenth of a second, and more under load. When a prompt leaves
ComfyUI the next is taken from here at once, and Prefect is asked while it renders.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prefect.client.schemas.responses import WorkerFlowRunResponse

GOOD_S: Final = 2.0
"""How long Prefect's answer may be used. A pause of the pool takes effect that late."""
REFRESH_S: Final = 0.5
"""Prefect is asked again after this long if more has become due, room or not."""


class Ahead:
    """Use from one event loop. ``news``: runs have become due since Prefect was asked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._runs: tuple[WorkerFlowRunResponse, ...] = ()
        self._asked_at = float("-inf")
        self.news = False

    @property
    def runs(self) -> Sequence[WorkerFlowRunResponse]:
        """Returns the runs that may be taken without asking; none when Prefect must be asked."""
        return self._runs if self._age < GOOD_S else ()

    @property
    def is_to_be_refreshed(self) -> bool:
        """Returns whether more has become due, and Prefect was not asked just now."""
        return self.news and self._age >= REFRESH_S

    def asking(self) -> None:
        """Note that Prefect is being asked: what becomes due from here on is news again."""
        self._asked_at = self._clock()
        self._runs = ()
        self.news = False

    def left(self, runs: Iterable[WorkerFlowRunResponse]) -> None:
        """Keep the runs that were not taken, in Prefect's order."""
        self._runs = tuple(runs)

    def outdate(self) -> None:
        """Require a new answer before anything is taken: another run may go first, or none."""
        self._asked_at = float("-inf")
        self.news = True

    @property
    def _age(self) -> float:
        return self._clock() - self._asked_at
