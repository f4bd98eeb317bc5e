"""A stopwatch that can be paused."""

from __future__ import annotations

from collections.abc import Callable


class Stopwatch:
    """Counts the seconds between ``run`` and ``pause``, by the given monotonic clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._counted = 0.0
        self._since: float | None = None

    @property
    def runs(self) -> bool:
        """Whether it is counting."""
        return self._since is not None

    def run(self) -> None:
        """Count from now on."""
        if self._since is None:
            self._since = self._now()

    def pause(self) -> None:
        """Stop counting, keep the count."""
        self._counted, self._since = self.elapsed(), None

    def elapsed(self) -> float:
        """Seconds counted so far."""
        return self._counted + (self._now() - self._since if self._since is not None else 0.0)
