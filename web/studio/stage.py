"""The large picture of the studio: live preview, finished pictures, or the error."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.generations.documents import ImageDocument, StatusDocument
from core.requests import ResolvedRequest
from core.wording import duration
from web.parts.elements import Text, adorn, box, button, icon, image, link, local, meter, set_meter
from web.parts.wording import advice, headline, progress_line, removed, title
from web.studio.card import OnId, ratio_style

EXAMPLES = (
    "a red fox in fresh snow at dawn, film grain, shallow depth of field",
    "an old observatory on a cliff above the clouds, oil painting",
    "still life with pears and a blue glass bottle, window light",
)


@dataclass(frozen=True)
class StageActions:
    """The actions of the stage."""

    cancel: OnId
    retry: OnId
    vary: Callable[[ResolvedRequest], Awaitable[None]]
    use: Callable[[ResolvedRequest], Awaitable[None]]
    delete: OnId
    example: Callable[[str], Awaitable[None]]


class Stage:
    """One generation, large. ``show`` updates it."""

    def __init__(self, actions: StageActions) -> None:
        self._actions = actions
        self._shape: tuple[object, ...] | None = None
        self.root = box("stage")
        self._said = Text("", "sr-only")
        adorn(self._said, role="status")

    def show(self, document: StatusDocument | None, images: list[ImageDocument]) -> None:
        """Update it. While a preview runs, only its parts change."""
        shape = _shape(document, images)
        if shape != self._shape:
            self._shape = shape
            self.root.clear()
            with self.root:
                self._build(document, images)
            self._said.text = headline(document) if document else ""
        if document is not None and document.status in ("queued", "running", "cancelling"):
            self._tick(document)

    def _build(self, document: StatusDocument | None, images: list[ImageDocument]) -> None:
        if document is None:
            self._build_empty()
        elif document.status == "succeeded" and images:
            self._build_pictures(document, images)
        elif document.status == "succeeded":
            self._build_removed(document)
        elif document.status in ("failed", "cancelled"):
            self._build_ended(document)
        else:
            self._build_live(document)

    def _build_empty(self) -> None:
        with box("empty"):
            box("empty-mark", aria_hidden="true")
            Text("What would you like to see?", "empty-title", "h2")
            Text("Describe it, then press Generate. Or begin with one of these:", "muted", "p")
            with box("examples"):
                for example in EXAMPLES:
                    made = button(example, classes="example")
                    made.on("click", _calling(self._actions.example, example), args=[])

    def _build_live(self, document: StatusDocument) -> None:
        request = document.request
        with box("easel") as easel:
            if isinstance(request, ResolvedRequest):
                ratio_style(easel, request.width, request.height)
            self._canvas = box("canvas")
            self._preview: str | None = None
        with box("caption"):
            with box("caption-row"):
                self._headline = Text("", "headline")
                self._line = Text("", "muted line")
                box("grow")
                _build_batch(document, "is-extra")
                if document.status != "cancelling":
                    button("Cancel", lambda: self._actions.cancel(document.task_id))
            self._meter = meter("Progress")

    def _tick(self, document: StatusDocument) -> None:
        percent = document.progress.percent if document.progress else None
        said = headline(document)
        if document.status == "running" and percent is not None and document.waiting is None:
            said = f"{percent:.0f} %"
        self._headline.text = said
        waiting = document.waiting
        self._line.text = waiting.detail if waiting else progress_line(document)
        set_meter(self._meter, percent)
        self._swap(document.urls.preview, title(document.request.prompt))

    def _swap(self, url: str | None, alt: str) -> None:
        if url is None or url == self._preview:
            return
        if self._preview is None:
            with self._canvas:
                self._image = image(url, f"Preview: {alt}")
        else:
            adorn(self._image, src=local(url))
        self._preview = url

    def _build_pictures(self, document: StatusDocument, images: list[ImageDocument]) -> None:
        with box("pictures") as pictures:
            columns = math.ceil(math.sqrt(len(images)))
            rows = math.ceil(len(images) / columns)
            pictures.style(f"--cols: {columns}; --rows: {rows}")
            ratio_style(pictures, images[0].width, images[0].height)
            with box("pictures-grid"):
                for number, kept in enumerate(images):
                    href = f"/g/{document.task_id}" + (f"?i={number}" if number else "")
                    with box("picture-link", "a", href=href):
                        image(kept.url, title(document.request.prompt, 200))
        with box("caption"), box("caption-row"):
            taken = (
                (document.finished_at - document.started_at).total_seconds()
                if document.finished_at and document.started_at
                else None
            )
            size = f"{images[0].width} × {images[0].height}"
            line = f"{size} · {duration(taken)}" if taken is not None else size
            Text(line, "muted line is-extra")
            _build_batch(document)
            box("grow")
            self._build_actions(document, images)

    def _build_actions(self, document: StatusDocument, images: list[ImageDocument]) -> None:
        request, actions = document.request, self._actions
        if isinstance(request, ResolvedRequest):
            vary = button("Vary", icon_name="vary", classes="btn-quiet", key="v")
            vary.on("click", _calling(actions.vary, request), args=[])
            use = button("Reuse", icon_name="reuse", classes="btn-quiet", key="a")
            use.on("click", _calling(actions.use, request), args=[])
        link(
            "Save the original",
            local(images[0].url),
            icon_name="save",
            bare=True,
            key="s",
            classes="btn-quiet",
            download=True,
        )
        link("Open", f"/g/{document.task_id}", icon_name="open", bare=True, classes="btn-quiet")
        button(
            "Delete",
            lambda: actions.delete(document.task_id),
            icon_name="trash",
            bare=True,
            classes="btn-quiet",
            key="Delete",
        )

    def _build_removed(self, document: StatusDocument) -> None:
        with box("empty"):
            Text(removed(document), "empty-title", "h2")
            Text(title(document.request.prompt, 200), "muted", "p")
            with box("row"):
                if isinstance(document.request, ResolvedRequest):
                    use = button("Use settings", icon_name="reuse", classes="btn-primary")
                    use.on("click", _calling(self._actions.use, document.request), args=[])
                link("Details", f"/g/{document.task_id}")

    def _build_ended(self, document: StatusDocument) -> None:
        error = document.error
        with box("empty"):
            Text(error.title if error else "Cancelled", "empty-title", "h2")
            if error is not None:
                Text(error.detail, "detail", "p")
                Text(advice(error, document.request.model), "muted", "p")
            else:
                Text(title(document.request.prompt, 200), "muted", "p")
            with box("row"):
                if isinstance(document.request, ResolvedRequest):
                    button(
                        "Retry",
                        lambda: self._actions.retry(document.task_id),
                        icon_name="retry",
                        classes="btn-primary",
                    )
                    use = button("Use settings", icon_name="reuse")
                    use.on("click", _calling(self._actions.use, document.request), args=[])
                link("Details", f"/g/{document.task_id}")


def _build_batch(document: StatusDocument, classes: str = "") -> None:
    """Link the batch of the generation, if it has one."""
    if document.batch_id is not None:
        address = f"/b/{document.batch_id}"
        label = "The batch it belongs to"
        with box(f"link of-batch {classes}", "a", href=address, aria_label=label):
            icon("batch")
            Text("Batch")


def _shape(document: StatusDocument | None, images: list[ImageDocument]) -> tuple[object, ...]:
    """Returns what the stage is built from: while it is unchanged, parts are updated in place."""
    if document is None:
        return ()
    status = "live" if document.status in ("queued", "running") else document.status
    return (document.task_id, document.attempt, status, len(images))


def _calling(
    action: Callable[..., Awaitable[None]], value: object
) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        await action(value)

    return call
