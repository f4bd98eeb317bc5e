"""What of the history is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from core.artefacts import ArtefactKind
from core.status import STATUSES, Status
from store.values import HistoryFilter

DAYS: Final = {0: "Any time", 1: "Last 24 hours", 7: "Last 7 days", 30: "Last 30 days"}
Q_MAX: Final = 500
KINDS: Final[dict[str, tuple[str, tuple[ArtefactKind, ...]]]] = {
    "images": ("Images", ("image",)),
    "videos": ("Videos", ("video", "animation")),
    "sounds": ("Sounds", ("audio",)),
    "3d": ("3D models", ("model3d",)),
    "texts": ("Texts", ("text",)),
}
"""What the history can be narrowed to: its word in the URL, on the page, and the artefacts."""


@dataclass(frozen=True)
class View:
    """What is shown: all of it is in the URL, so that it can be linked and reloaded."""

    q: str = ""
    status: Status | None = None
    model: str | None = None
    days: int = 0
    kind: str | None = None
    cursor: str | None = None

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        """Returns the view of a URL; invalid parameters are ignored."""
        status = next((known for known in STATUSES if known == query.get("status")), None)
        days = query.get("days", "0")
        return cls(
            q=query.get("q", "").replace("\x00", "")[:Q_MAX],
            status=status,
            model=query.get("model", "").replace("\x00", "") or None,
            days=next((known for known in DAYS if str(known) == days), 0),
            kind=next((known for known in KINDS if known == query.get("kind")), None),
            cursor=query.get("cursor") or None,
        )

    @property
    def query(self) -> str:
        """Returns this view as the query of a URL; empty for all of the history."""
        given = {
            "q": self.q,
            "status": self.status,
            "model": self.model,
            "days": self.days or None,
            "kind": self.kind,
            "cursor": self.cursor,
        }
        return urlencode({name: value for name, value in given.items() if value})

    @property
    def url(self) -> str:
        """Returns the URL of this view."""
        return f"/history?{self.query}" if self.query else "/history"

    @property
    def filtered(self) -> bool:
        """Returns whether a filter is set."""
        return bool(self.q or self.status or self.model or self.days or self.kind)

    def wanted(self, otherwise: tuple[Status, ...] = ()) -> HistoryFilter:
        """Returns the filter as the API's history takes it.

        ``otherwise``: which statuses, if none is set.
        """
        after = datetime.now(UTC) - timedelta(days=self.days) if self.days else None
        return HistoryFilter(
            status=(self.status,) if self.status else otherwise,
            model=self.model,
            q=self.q or None,
            created_after=after,
            kind=KINDS[self.kind][1] if self.kind else (),
        )
