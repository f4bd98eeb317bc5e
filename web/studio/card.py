"""A generation in the strip: its image or preview, its prompt, its progress, and cancel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from nicegui import ui

from api.generations.documents import OutputDocument, StatusDocument
from core.wording import model_name
from web.parts.elements import Text, adorn, box, button, image, meter, set_meter
from web.parts.wording import headline, progress_line, subject

OnId = Callable[[UUID], Awaitable[None]]


class Card:
    """One generation. ``show`` updates it."""

    def __init__(self, task_id: UUID, on_open: OnId, on_cancel: OnId) -> None:
        self.task_id = task_id
        self.document: StatusDocument | None = None
        self.images: list[OutputDocument] = []
        self._picture: str | None = None
        self.root = box("card", role="listitem")
        with self.root:
            self._open = box("card-open", "button", type="button")
            self._open.on("click", lambda: on_open(task_id), args=[])
            with self._open:
                self._frame = box("card-frame", "span")
                with box("card-text", "span"):
                    self._headline = Text("", "card-headline")
                    self._prompt = adorn(Text("", "card-prompt"), dir="auto")
                    self._line = Text("", "card-line")
            self._meter = meter("Progress")
            self._cancel = button(
                "Cancel",
                lambda: on_cancel(task_id),
                icon_name="close",
                bare=True,
                classes="card-cancel",
            )

    def show(self, document: StatusDocument, images: list[OutputDocument]) -> None:
        """Update the card; only changes are sent to the browser.

        A document older than the shown one is ignored: concurrent reads may overtake each other.
        """
        if self.document is not None and document.sequence < self.document.sequence:
            return
        if self.document is None or self.document.status != document.status:
            self.root.classes(replace=f"card is-{document.status}")
        self.document, self.images = document, images
        percent = document.progress.percent if document.progress else None
        said = headline(document)
        if document.status == "running" and percent is not None and document.waiting is None:
            said = f"{percent:.0f}%"
        self._headline.text = said
        model = model_name(document.request.model)
        self._prompt.text = subject(document.request)
        self._line.text = progress_line(document) or model
        adorn(
            self._open,
            aria_label=f"{said}: {subject(document.request)}",
            title=f"{subject(document.request, 300)}\n{model}",
        )
        adorn(self._cancel, aria_label=f"Cancel: {subject(document.request, 40)}")
        set_meter(self._meter, percent)
        self._show_picture()

    def mark(self, chosen: bool) -> None:
        """Mark whether this is the one on the stage."""
        adorn(self._open, aria_current="true" if chosen else None)

    def _show_picture(self) -> None:
        document = self.document
        assert document is not None  # show() has set it
        url = self.images[0].poster_url if self.images else document.urls.preview
        if url == self._picture:
            return
        self._picture = url
        self._frame.clear()
        with self._frame:
            if url is not None:
                image(url, "", loading="lazy")
            if len(self.images) > 1:
                Text(f"×{len(self.images)}", "badge")


def ratio_style(element: ui.element, width: int, height: int) -> None:
    """Reserve the space of an image before it has loaded, so that nothing moves."""
    element.style(f"--ratio: {width / height:.4f}")
