"""Fair order: among runs that are due, those whose checkpoint is loaded go first.

Switching checkpoints costs seconds on a GPU. So within one priority a run of the loaded
checkpoint may overtake others, but no run is overtaken more than ``OVERTAKEN_MAX`` times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

OVERTAKEN_MAX: Final = 16
"""How often a run may be overtaken within its priority before it is chosen, switch or not."""


@dataclass(frozen=True)
class Due:
    """A run that could begin now: its priority, and the checkpoint it needs if that is known."""

    run: UUID
    priority: object
    model: str | None


class Turns:
    """Chooses among the runs that are due. Counts, while the worker lives, who was overtaken."""

    def __init__(self, overtaken_max: int = OVERTAKEN_MAX) -> None:
        self._overtaken_max = overtaken_max
        self._overtaken: dict[UUID, int] = {}

    def choose(self, due: Sequence[Due], loaded: str | None) -> Due:
        """Returns the next run. ``due`` is ordered by priority, and by age within each."""
        alike = [one for one in due if one.priority == due[0].priority]
        chosen = self._worn_out(alike) or _of_model(alike, loaded) or alike[0]
        ahead = alike[: alike.index(chosen)]
        # Drop counters of runs that started or were cancelled.
        known = {one.run: self._overtaken.get(one.run, 0) for one in due if one != chosen}
        self._overtaken = {**known, **{one.run: known[one.run] + 1 for one in ahead}}
        return chosen

    def _worn_out(self, due: Sequence[Due]) -> Due | None:
        worn = (one for one in due if self._overtaken.get(one.run, 0) >= self._overtaken_max)
        return next(worn, None)


def _of_model(due: Sequence[Due], loaded: str | None) -> Due | None:
    if loaded is None:
        return None
    return next((one for one in due if one.model == loaded), None)
