"""The state of the service in every page's header: whether it renders, and how many wait."""

from __future__ import annotations

from typing import Final

from nicegui import ui

from api.context import Context
from core.status import Status
from store.errors import StoreError
from store.values import Waiting
from web.parts.elements import Text, adorn, box
from web.parts.wording import WAITING_WORDS

LOOK_EVERY_S: Final = 1.0


class Service:
    """A dot and a few words; in the tab's title, how many wait, unless the page says it itself."""

    def __init__(self, *, in_title: bool) -> None:
        self._in_title = in_title
        self._queued = 0
        self.root = box("service is-away", role="img")
        with self.root:
            box("service-dot", "span")
            self._text = Text("", "service-text")
            self._count = Text("", "service-count")

    def follow(self, context: Context) -> None:
        """Look now and again from now on."""

        async def look() -> None:
            try:
                waiting = await context.facade.estimates.why("interactive")
                counts = await context.figures.under_way()
            except StoreError:
                return  # shown again when the store answers
            self.show(waiting, counts)

        ui.timer(LOOK_EVERY_S, look)

    def show(self, waiting: Waiting | None, counts: dict[Status, int]) -> None:
        """Update it; only changes are sent to the browser."""
        queued = counts.get("queued", 0)
        words = state_words(waiting, counts)
        state = "is-waiting" if waiting else "is-ready"
        self.root.classes(remove="is-away is-waiting is-ready", add=state)
        self._text.text = words
        self._count.text = f"{queued:,}" if queued else ""
        detail = waiting.detail.replace("`", "") if waiting else words
        adorn(self.root, title=detail, aria_label=words)
        if self._in_title and queued != self._queued:
            ui.run_javascript(f"easel.queued({queued})")
        self._queued = queued


def state_words(waiting: Waiting | None, counts: dict[Status, int]) -> str:
    """Returns for example "Rendering · 2 queued"."""
    if waiting is not None:
        state = WAITING_WORDS.get(waiting.code, "Waiting")
    else:
        state = "Rendering" if counts.get("running", 0) else "Ready"
    queued = counts.get("queued", 0)
    return f"{state} · {queued:,} queued" if queued else state
