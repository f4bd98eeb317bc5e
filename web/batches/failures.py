"""The failed items of a batch, and why they failed."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from api.batches.documents import BatchItemDocument
from web.batches.contact import View
from web.parts.elements import Text, adorn, box, button, icon, show_if
from web.parts.layout import Web, errors_as_toasts
from web.parts.wording import advice, subject

SHOWN: Final = 5
"""Number of failures shown at first, and added with each press."""


class Failures:
    """Hidden while nothing has failed."""

    def __init__(self, web: Web, batch_id: UUID) -> None:
        self._web = web
        self._batch_id = batch_id
        self._within = View(show="failed").within(batch_id)
        self._failed = 0
        self._next: str | None = None
        self._advised = ""
        self._root = box("fold failures is-away", "details", open=True)
        with self._root:
            with box("fold-head", "summary"):
                icon("chevron")
                self._label = Text("")
            self._list = box("failure-list", "ul")
            self._more = button("Show more", errors_as_toasts(self._show_more), classes="btn-small")

    async def show(self, failed: int) -> None:
        """Show the current number of failures."""
        if failed == self._failed:
            return
        self._failed = failed
        show_if(self._root, failed)
        self._label.text = f"{failed:,} failed"
        self._list.clear()
        self._next, self._advised = None, ""
        if failed:
            await self._show_more()

    async def _show_more(self) -> None:
        page = await self._web.batches.items(self._batch_id, SHOWN, self._next, ("failed",))
        self._next = page.next_cursor
        with self._list:
            for item in page.items:
                self._build(item)
        show_if(self._more, self._next is not None)

    def _build(self, item: BatchItemDocument) -> None:
        with box("failure", "li"):
            with box("failure-open", "a", href=f"/g/{item.task_id}?{self._within}"):
                Text(f"{item.position + 1:,}", "failure-number")
                prompt = subject(item.request, 120) if item.request else "Deleted"
                adorn(Text(prompt, "failure-prompt"), dir="auto")
            error = item.generation.error if item.generation is not None else None
            if error is None:
                return
            Text(error.detail, "detail", "p")
            advised = advice(error, item.request.model if item.request else "")
            if advised != self._advised:  # many fail for the same reason
                Text(advised, "muted small", "p")
            self._advised = advised
