"""The workers that there are: which can be reached, how busy each is, how fast it was."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Final

from nicegui import ui

from api.workers.documents import WorkerDocument
from store.errors import StoreError
from web.parts.elements import Text, adorn, box, show_if
from web.parts.layout import Frame, Web, section
from web.workers.wording import NONE, START_ONE, about_words, state_words, work_words

LOOK_EVERY_S: Final = 2.0


class WorkersPage:
    """One open page of workers; it follows them."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._shown: list[tuple[str, str, str, str]] | None = None
        self._frame = Frame(web, "Workers", self._load)
        with box("models"):
            adorn(Text("Workers", "sr-only", "h1"))
            with section("models-whole", "Workers"):
                self._empty = box("models-empty is-away")
                with self._empty, box("empty"):
                    Text(NONE, "empty-title", "h2")
                    Text(START_ONE.replace("`", ""), "muted", "p")
                self._list = box("model-rows", "ul")

    async def start(self) -> None:
        """Show them, then follow what changes."""
        await self._load()
        self._frame.start()
        ui.timer(LOOK_EVERY_S, self._look, immediate=False)

    async def _look(self) -> None:
        with contextlib.suppress(StoreError):
            await self._load()

    async def _load(self) -> None:
        now = datetime.now(UTC)
        found = (await self._web.workers.all()).workers
        rows = [
            (one.name, state_words(one, now), work_words(one), about_words(one)) for one in found
        ]
        if rows == self._shown:
            return
        self._shown = rows
        self._list.clear()
        with self._list:
            for one, row in zip(found, rows, strict=True):
                _row(one, *row)
        show_if(self._list, found)
        show_if(self._empty, not found)


def _row(one: WorkerDocument, name: str, state: str, work: str, about: str) -> None:
    with box("model-row", "li"):
        with box("model-main"):
            adorn(Text(name, "model-name", "h2"), dir="auto")
            adorn(Text(about, "muted small", "p"), dir="auto")
        with box("model-kind worker-kind"):
            adorn(Text(state, "model-family" if one.reachable else "model-lack small"), dir="auto")
            Text(work, "muted small")
