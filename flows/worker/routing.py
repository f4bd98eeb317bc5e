"""Where a generation goes: to the worker that would start it first.

Each worker decides for itself, by the same figures: in the order of the queue, which of the
workers that can do it would start it soonest? An idle one with another model has to load first.
What another one would start sooner is left to it, for no longer than a load takes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from core.workflows.needs import Needs
from flows.fleet import Fleet, FleetWatch, Member
from store.fleet import Held
from store.values import Queued

ALONE_FOR_S: Final = 5.0
"""Seconds for which a worker takes it that there is no other; its record is as old at most."""
LEFT_LOOK_S: Final = 0.25
"""Seconds until a worker looks again at what it has left to another."""
STUCK: Final = 3.0
"""So many times its usual time may a render take until its worker is not waited for."""
_NEVER: Final = float("inf")
NeedsOf = Callable[[str], Needs | None]
"""Returns the needs of a digest, None if they are not known."""


@dataclass
class _Forecast:
    """When a worker is free, in seconds from now, and with which model; ``rate`` is its speed.

    Changed as generations are left to it.
    """

    member: Member
    free_in_s: float
    model: str | None
    rate: float | None

    def starts_in(self, one: Queued, load_s: float) -> float:
        return self.free_in_s + self._load(one, load_s)

    def give(self, one: Queued, load_s: float) -> None:
        rendering = _NEVER if self.rate is None else self.rate * one.cost
        self.free_in_s += self._load(one, load_s) + rendering
        self.model = one.model or self.model

    def _load(self, one: Queued, load_s: float) -> float:
        return load_s if one.model and one.model != self.model else 0.0


class Look:
    """One look at the queue: ``mine`` is asked about its pages, in their order."""

    def __init__(
        self,
        own: _Forecast,
        others: Sequence[_Forecast],
        load_s: float,
        needs_of: NeedsOf,
        overdue: Callable[[UUID], bool],
    ) -> None:
        self.left: Final[set[UUID]] = set()
        """What is left to others."""
        self._own = own
        self._others = others
        self._load_s = load_s
        self._needs_of = needs_of
        self._overdue = overdue

    def mine(self, page: Sequence[Queued]) -> list[Queued]:
        """Returns those that no other worker would start sooner."""
        return [one for one in page if self._is_mine(one)]

    def _is_mine(self, one: Queued) -> bool:
        if one.generation_id in self.left:  # asked again: another worker was quicker with one
            return False
        if self._overdue(one.generation_id):
            return True
        needs = None if one.needs is None else self._needs_of(one.needs)
        able = [other for other in self._others if other.member.can_do(needs)]
        load_s = self._load_s
        first = min(able, key=lambda other: other.starts_in(one, load_s), default=None)
        if first is None or first.starts_in(one, load_s) >= self._own.starts_in(one, load_s):
            return True
        first.give(one, load_s)
        self.left.add(one.generation_id)
        return False


class Routing:
    """``look()`` before each look at the queue, and ``looked()`` at its end.

    ``load_s`` is how long a model takes to load, and the longest that anything is left to another
    worker; 0 leaves nothing. ``now`` is a monotonic clock (seconds).
    """

    def __init__(
        self,
        watch: FleetWatch,
        lease: UUID,
        load_s: float,
        needs_of: NeedsOf,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watch = watch
        self._lease = lease
        self._load_s = load_s
        self._needs_of = needs_of
        self._now = now
        self._alone_until = float("-inf")
        self._left: dict[UUID, float] = {}

    async def look(self, last_model: str | None) -> Look | None:
        """Returns how to choose now; None while there is no other worker, or nothing is left.

        Raises StoreUnavailableError.
        """
        if self._load_s <= 0 or self._now() < self._alone_until:
            return None
        fleet = await self._watch.look()
        others = [one for one in fleet.there if one.record.holder != self._lease]
        if not others:
            self._alone_until = self._now() + ALONE_FOR_S
            return None
        own = next((one for one in fleet.members if one.record.holder == self._lease), None)
        if own is None:  # its first record is not written yet
            return None
        rates, load_s = _rates(fleet), self._load_s
        return Look(
            _forecast(own, last_model, rates, load_s),
            [_forecast(one, one.record.last_model, rates, load_s) for one in others],
            load_s,
            self._needs_of,
            self._is_overdue,
        )

    def looked(self, look: Look | None) -> bool:
        """Note what was left. Returns whether anything was: then look again soon."""
        left = look.left if look is not None else set()
        now = self._now()
        self._left = {one: self._left.get(one, now) for one in left}
        return bool(left)

    def _is_overdue(self, generation_id: UUID) -> bool:
        since = self._left.get(generation_id)
        return since is not None and self._now() - since >= self._load_s


def _rates(fleet: Fleet) -> dict[str, float | None]:
    """Returns each worker's seconds per cost; of one without a measurement, that of the others."""
    known = [one.record.seconds_per_cost for one in fleet.members]
    measured = [rate for rate in known if rate is not None]
    usual = statistics.median(measured) if measured else None
    return {one.record.name: one.record.seconds_per_cost or usual for one in fleet.members}


def _forecast(
    member: Member, model: str | None, rates: dict[str, float | None], load_s: float
) -> _Forecast:
    rate = rates[member.record.name]
    free_in_s = sum(_remaining(held, rate, load_s) for held in member.held)
    return _Forecast(member, free_in_s, model, rate)


def _remaining(held: Held, rate: float | None, load_s: float) -> float:
    """Returns the seconds until it is done. Another machine's clock may differ from this one's."""
    if rate is None:
        return _NEVER
    total = rate * held.cost
    if held.started_at is None:
        return total
    elapsed = (datetime.now(UTC) - held.started_at).total_seconds()
    if elapsed > STUCK * total + load_s:
        return _NEVER
    return min(total, max(0.0, total - elapsed))
