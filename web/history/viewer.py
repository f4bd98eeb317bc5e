"""The large image of the picture page. Zoom, pan and swipe are in ``static/easel.js``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from api.generations.documents import OutputDocument, StatusDocument
from core.requests import ResolvedRequest
from web.history.listing import Listing
from web.parts.elements import Text, adorn, box, button, image, link, local, meter, set_meter
from web.parts.outputs import kept_output
from web.parts.wording import advice, headline, progress_line, removed, subject

Handler = Callable[[], Awaitable[None]]


class Viewer:
    """Shows one image, a live preview, or why there is none."""

    def __init__(
        self, listing: Listing, on_before: Handler, on_after: Handler, on_retry: Handler
    ) -> None:
        self._on_retry = on_retry
        before, after = listing.names
        self._shape: tuple[object, ...] | None = None
        with box("viewer", data_viewer=""):
            self._body = box("viewer-body")
            self._before = button(
                before,
                on_before,
                icon_name="left",
                bare=True,
                key="ArrowLeft",
                classes="viewer-nav is-before",
            )
            self._after = button(
                after,
                on_after,
                icon_name="right",
                bare=True,
                key="ArrowRight",
                classes="viewer-nav is-after",
            )
            with box("viewer-tools"):
                self._counter = Text("", "counter")
                for label, name, key, action in (
                    ("Zoom", "zoom", "z", "zoom"),
                    ("Hide or show details", "expand", "i", "wide"),
                    ("Back", "close", "Escape", "back"),
                ):
                    tool = button(label, icon_name=name, bare=True, key=key)
                    adorn(
                        tool,
                        data_viewer_do=action,
                        data_viewer_to=listing.url if action == "back" else None,
                    )

    def show(
        self,
        document: StatusDocument,
        images: list[OutputDocument],
        number: int,
        *,
        before: bool,
        after: bool,
    ) -> None:
        """Update it."""
        adorn(self._before, disabled=not before)
        adorn(self._after, disabled=not after)
        self._counter.text = f"{number + 1} / {len(images)}" if len(images) > 1 else ""
        live = not images and document.status in ("queued", "running", "cancelling")
        shape = (
            document.task_id,
            document.attempt,
            number,
            len(images),
            "live" if live else document.status,
        )
        if shape != self._shape:
            self._shape = shape
            self._body.clear()
            with self._body:
                self._build(document, images, number)
        if live:
            self._tick(document)

    def say(self, headline_: str, detail: str) -> None:
        """Show a text: there is no image."""
        self._shape = None
        adorn(self._before, disabled=True)
        adorn(self._after, disabled=True)
        self._body.clear()
        with self._body, box("empty"):
            Text(headline_, "empty-title", "h1")
            Text(detail, "muted", "p")
            link("To the history", "/history", classes="btn-primary")

    def _build(self, document: StatusDocument, images: list[OutputDocument], number: int) -> None:
        request = document.request
        if images:
            kept = images[number]
            kept_output(kept, subject(request, 200) or kept.name, "viewer-image")
        elif document.status in ("failed", "cancelled"):
            with box("empty"):
                Text(document.error.title if document.error else "Cancelled", "empty-title", "h2")
                if document.error is not None:
                    Text(document.error.detail, "detail", "p")
                    Text(advice(document.error, request.model), "muted", "p")
                if isinstance(request, ResolvedRequest):
                    button("Retry", self._on_retry, icon_name="retry", classes="btn-primary")
        elif document.status == "succeeded":
            with box("empty"):
                Text(removed(document), "empty-title", "h2")
                if isinstance(request, ResolvedRequest):
                    Text("Its settings are kept: Vary creates another one.", "muted", "p")
        else:
            self._build_live()

    def _build_live(self) -> None:
        self._preview: str | None = None
        self._canvas = box("viewer-live")
        with box("viewer-caption"):
            with box("caption-row"):
                self._headline = Text("", "headline")
                self._line = Text("", "line")
            self._meter = meter("Progress")

    def _tick(self, document: StatusDocument) -> None:
        percent = document.progress.percent if document.progress else None
        rendering = document.status == "running" and percent is not None
        self._headline.text = f"{percent:.0f}%" if rendering else headline(document)
        waiting = document.waiting
        self._line.text = waiting.detail if waiting else progress_line(document)
        set_meter(self._meter, percent)
        url = document.urls.preview
        if url is None or url == self._preview:
            return
        if self._preview is None:
            with self._canvas:
                self._image = image(url, f"Preview: {subject(document.request)}")
        else:
            adorn(self._image, src=local(url))
        self._preview = url
