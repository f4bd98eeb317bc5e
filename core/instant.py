"""Moments of this process, and how long ago they are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Instant:
    """A moment of this process, by two clocks, both in seconds.

    The monotonic clock goes on while the process is stopped, but on some systems not while the
    machine sleeps; the wall clock does, but it may be set back.
    """

    monotonic: float
    wall: float

    @classmethod
    def now(cls) -> Instant:
        """Returns this moment."""
        return cls(time.monotonic(), time.time())

    def age_s(self, now: Instant | None = None) -> float:
        """Returns how long ago it is at most: what the clock says that counted more."""
        now = now or Instant.now()
        return max(now.monotonic - self.monotonic, now.wall - self.wall)


LONG_AGO: Final = Instant(float("-inf"), float("-inf"))
"""Longer ago than anything."""
