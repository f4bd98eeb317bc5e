"""The batches, newest first, each with its progress."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from nicegui import ui

from api.batches.documents import BatchDocument
from core.wording import ago
from store.errors import InvalidCursorError
from web.batches.bar import Bar
from web.batches.wording import done_line, is_active, pace_line, state_words
from web.parts.elements import Text, adorn, box, button
from web.parts.layout import Web, errors_as_toasts, toast_error

PAGE: Final = 12
"""Batches on one page."""


class BatchRow:
    """One batch. ``show`` updates it."""

    def __init__(self, document: BatchDocument) -> None:
        self.root = box("batch-row", "li")
        with self.root, box("batch-open", "a", href=f"/b/{document.batch_id}"):
            with box("batch-head", "span"):
                adorn(Text(document.name, "batch-name"), dir="auto")
                self._state = Text("", "batch-state")
            self._bar = Bar(f"Progress of {document.name}")
            with box("batch-foot", "span"):
                self._done = Text("", "batch-done")
                self._pace = Text("", "muted is-extra")
                box("grow", "span")
                self._when = Text("", "muted")
        self.show(document)

    def show(self, document: BatchDocument) -> None:
        """Update the row; only changes are sent to the browser."""
        self.document = document
        wanted = f"batch-row is-{document.status}"
        if " ".join(self.root.classes) != wanted:
            self.root.classes(replace=wanted)
        self._state.text = state_words(document)
        self._done.text = done_line(document)
        self._pace.text = pace_line(document) if is_active(document) else ""
        self._when.text = ago(document.created_at)
        self._bar.show(document)


class BatchList:
    """A page of batches."""

    def __init__(self, web: Web, cursor: str | None) -> None:
        self._web = web
        self._cursor = cursor
        self._next: str | None = None
        self._previous: str | None = None
        self._rows: dict[UUID, BatchRow] = {}
        self._built = False
        self._reading = asyncio.Lock()
        Text("Batches", "side-title", "h2")
        self._list = box("batch-list", "ul")
        self._rest = box("side-rest")
        with box("pager", "nav", aria_label="Pages of batches"):
            self._first = button("Newest", errors_as_toasts(self._to_first), icon_name="first")
            self._newer = button("Newer", errors_as_toasts(self._to_newer), icon_name="left")
            self._older = button("Older", errors_as_toasts(self._to_older), icon_name="right")
            self._older.classes("is-reversed")

    async def look(self) -> None:
        """Update the batches that have not ended; ended ones cost nothing."""
        active = [row.document.batch_id for row in self._rows.values() if is_active(row.document)]
        for document in await self._web.batches.statuses(active):
            row = self._rows.get(document.batch_id)
            if row is not None:  # the page may have been turned meanwhile
                row.show(document)

    async def load(self) -> None:
        """Load the page; rows that stay are updated in place."""
        async with self._reading:  # one at a time: an older result is never shown over a newer one
            try:
                shown = await self._read_and_show()
            except InvalidCursorError:
                shown = False
                toast_error("That page does not exist any more; these are the newest.")
        if not shown:
            await self._turn(None)

    async def _read_and_show(self) -> bool:
        """Returns False when the page of the newest is to be shown. Raises InvalidCursorError."""
        page = await self._web.batches.page(PAGE, self._cursor)
        if self._cursor is not None and page.previous_cursor is None:
            return False
        self._next, self._previous = page.next_cursor, page.previous_cursor
        same = list(self._rows) == [document.batch_id for document in page.items]
        if self._built and same:
            for document in page.items:
                self._rows[document.batch_id].show(document)
        else:
            self._build(page.items)
        adorn(self._first, disabled=self._cursor is None)
        adorn(self._newer, disabled=self._previous is None)
        adorn(self._older, disabled=self._next is None)
        return True

    def _build(self, documents: list[BatchDocument]) -> None:
        self._built = True
        self._list.clear()
        self._rest.clear()
        with self._list:
            self._rows = {document.batch_id: BatchRow(document) for document in documents}
        if not documents:
            with self._rest:
                _build_empty()

    async def _to_first(self) -> None:
        await self._turn(None)

    async def _to_newer(self) -> None:
        await self._turn(self._previous)

    async def _to_older(self) -> None:
        if self._next is not None:
            await self._turn(self._next)

    async def _turn(self, cursor: str | None) -> None:
        self._cursor = cursor
        ui.navigate.history.replace(f"/bulk?cursor={cursor}" if cursor else "/bulk")
        await self.load()


def _build_empty() -> None:
    with box("empty"):
        box("empty-mark", aria_hidden="true")
        Text("Many images in one go", "empty-title", "h3")
        Text(
            "Try a prompt with several models, sizes or settings, or choose a file with prompts. "
            "Preview shows what will be generated before you start.",
            "muted",
            "p",
        )
