"""What came of one try to send an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from store.callbacks.values import DeliveryTry

GONE: Final = 410
SILENT_MS: Final = 1000
_REDIRECTS: Final = frozenset({300, 301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Reply:
    """A try as it is recorded, and the seconds that the receiver wants to be left alone for."""

    tried: DeliveryTry
    retry_after_s: float | None = None
    is_refused: bool = False
    """Whether no connection was made, since the address may not be connected to."""

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has taken the event: any 2xx."""
        return self.tried.status is not None and 200 <= self.tried.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing more: 410."""
        return self.tried.status == GONE

    @property
    def is_silent(self) -> bool:
        """Whether the receiver was waited for in vain."""
        return self.tried.status is None and self.tried.milliseconds >= SILENT_MS

    @property
    def outcome(self) -> str:
        """The outcome in one word, as it is counted."""
        if self.is_taken:
            return "delivered"
        if self.is_gone:
            return "gone"
        return "refused" if self.is_refused else "failed"

    @property
    def reason(self) -> str:
        """Why the event was not taken."""
        if self.tried.status is None:
            return self.tried.error or ""
        if self.tried.status in _REDIRECTS:
            return f"answered {self.tried.status}: redirects are not followed, give the final URL"
        return f"answered {self.tried.status}"
