"""The list that a picture was opened from: its arrows stay in that list, and Esc leads back to it.

The list is in the picture's URL, in the words of the list's own URL: ``?q=fox``, ``?batch=…``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from starlette.datastructures import QueryParams

from core.ids import parse_generation_id
from core.status import Status
from store.values import Neighbours
from web.batches.contact import View as BatchView
from web.history.view import View as HistoryView
from web.parts.layout import Web

_PICTURES: Final[tuple[Status, ...]] = ("succeeded",)
"""Where the arrows lead unless the list is of another status: only to pictures."""


class Listing(Protocol):
    """A list of generations."""

    @property
    def query(self) -> str:
        """Returns the list as part of a picture's URL."""

    @property
    def url(self) -> str:
        """Returns the URL of the list itself."""

    @property
    def names(self) -> tuple[str, str]:
        """Returns what the arrows to the left and to the right lead to."""

    async def neighbours(self, web: Web, generation_id: UUID) -> Neighbours:
        """Returns those beside a generation, without deleted ones. Raises NotFoundError."""


@dataclass(frozen=True)
class HistoryListing:
    """The history, or what a search or filter left of it."""

    view: HistoryView

    @property
    def query(self) -> str:
        """Returns the list as part of a picture's URL."""
        return self.view.query

    @property
    def url(self) -> str:
        """Returns the URL of the list itself."""
        return self.view.url

    @property
    def names(self) -> tuple[str, str]:
        """Returns what the arrows to the left and to the right lead to."""
        return "Newer image", "Older image"

    async def neighbours(self, web: Web, generation_id: UUID) -> Neighbours:
        """Returns those beside a generation, without deleted ones. Raises NotFoundError."""
        wanted = self.view.wanted(otherwise=_PICTURES)
        return await web.facade.neighbours(generation_id, web.trash.ids, wanted)


@dataclass(frozen=True)
class BatchListing:
    """A batch, in the order and of the kind that its page shows."""

    batch_id: UUID
    view: BatchView

    @property
    def query(self) -> str:
        """Returns the list as part of a picture's URL."""
        return self.view.within(self.batch_id)

    @property
    def url(self) -> str:
        """Returns the URL of the list itself."""
        return self.view.url(self.batch_id)

    @property
    def names(self) -> tuple[str, str]:
        """Returns what the arrows to the left and to the right lead to."""
        newest = self.view.order == "newest"
        return ("Newer image", "Older image") if newest else ("Previous image", "Next image")

    async def neighbours(self, web: Web, generation_id: UUID) -> Neighbours:
        """Returns those beside a generation, without deleted ones. Raises NotFoundError."""
        statuses = self.view.statuses or _PICTURES
        hidden = web.trash.ids
        if self.view.order == "newest":
            wanted = self.view.newest(self.batch_id, statuses)
            return await web.facade.neighbours(generation_id, hidden, wanted)
        return await web.batches.neighbours(self.batch_id, generation_id, hidden, statuses)


def read_listing(query: QueryParams) -> Listing:
    """Returns the list that a picture's URL names; the whole history when it names none."""
    batch_id = parse_generation_id(query.get("batch", ""))
    if batch_id is not None:
        return BatchListing(batch_id, BatchView.read(query))
    return HistoryListing(HistoryView.read(query))
