"""What came of one try to send an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from store.callbacks.values import DeliveryTry

GONE: Final = 410
_REDIRECTS: Final = frozenset({300, 301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Reply:
    """A try as it is recorded, and the seconds that the receiver wants to be left alone for."""

    tried: DeliveryTry
    retry_after_s: float | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has taken the event: any 2xx."""
        return self.tried.status is not None and 200 <= self.tried.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing more: 410."""
        return self.tried.status == GONE

    @property
    def reason(self) -> str:
        """Why the event was not taken."""
        if self.tried.status is None:
            return self.tried.error or ""
        if self.tried.status in _REDIRECTS:
            return f"answered {self.tried.status}: redirects are not followed, give the final URL"
        return f"answered {self.tried.status}"
