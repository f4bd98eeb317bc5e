"""The large image of the studio: live preview, finished images, or the error."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.generations.documents import OutputDocument, StatusDocument
from core.requests import ResolvedRequest
from core.wording import brief, model_name
from web.forms.onward import Onward, build_onward
from web.parts.elements import (
    Text,
    adorn,
    box,
    button,
    icon,
    image,
    link,
    local,
    meter,
    set_meter,
    show_if,
)
from web.parts.notices import Notices
from web.parts.outputs import KIND_WORDS, is_picture, kept_output
from web.parts.wording import advice, headline, operation, progress_line, removed, subject
from web.studio.card import OnId, ratio_style

EXAMPLES = (
    "a red fox in fresh snow at dawn, film grain, shallow depth of field",
    "an old observatory on a cliff above the clouds, oil painting",
    "still life with pears and a blue glass bottle, window light",
)
_WIDE_STAGE, _TALL_STAGE = 1.7, 1.0
"""About the stage's width by height, beside the form and on a phone."""


@dataclass(frozen=True)
class StageActions:
    """The actions of the stage."""

    cancel: OnId
    retry: OnId
    vary: Callable[[ResolvedRequest], Awaitable[None]]
    use: Callable[[ResolvedRequest], Awaitable[None]]
    delete: OnId
    example: Callable[[str], Awaitable[None]]
    follow: Callable[[], Awaitable[None]]
    onward: Onward


class Stage:
    """One generation, large. ``show`` updates it."""

    def __init__(self, actions: StageActions) -> None:
        self._actions = actions
        self._shape: tuple[object, ...] | None = None
        self._notices = Notices()
        self.root = box("stage")
        with box("stage-pinned is-away") as self._pinned:
            self._pinned_text = Text("", "muted line")
            button("Back to the latest", actions.follow, classes="btn-small")
        self._said = Text("", "sr-only")
        adorn(self._said, role="status")

    def show(self, document: StatusDocument | None, images: list[OutputDocument]) -> None:
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

    def say_pinned(self, text: str) -> None:
        """Say that this is not the latest, with the way back; an empty text says nothing."""
        self._pinned_text.text = text
        show_if(self._pinned, text)

    def _build(self, document: StatusDocument | None, images: list[OutputDocument]) -> None:
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
            Text("Describe it, then press Generate. Or start with one of these:", "muted", "p")
            with box("examples"):
                for example in EXAMPLES:
                    made = button(example, classes="example")
                    made.on("click", _calling(self._actions.example, example), args=[])

    def _build_live(self, document: StatusDocument) -> None:
        request = document.request
        with box("easel") as easel:
            if isinstance(request, ResolvedRequest) and request.size is not None:
                ratio_style(easel, *request.size)
            self._canvas = box("canvas")
            self._preview: str | None = None
            self._rendered: str | None = None
        with box("caption"):
            with box("caption-row"):
                if document.status != "cancelling":
                    button(
                        "Cancel",
                        lambda: self._actions.cancel(document.task_id),
                        icon_name="close",
                        classes="guarded",
                    )
                self._headline = Text("", "headline")
                self._line = Text("", "muted line")
                box("grow")
                _build_batch(document, "is-extra")
            self._meter = meter("Progress")
            _build_made(document, [])
            self._notices.build(document)

    def _tick(self, document: StatusDocument) -> None:
        percent = document.progress.percent if document.progress else None
        said = headline(document)
        if document.status == "running" and percent is not None and document.waiting is None:
            said = f"{percent:.0f}%"
        self._headline.text = said
        waiting = document.waiting
        self._line.text = waiting.detail if waiting else progress_line(document)
        set_meter(self._meter, percent)
        self._swap(document.urls.preview, subject(document.request))
        self._lay_over(document.urls.rendered, subject(document.request))

    def _swap(self, url: str | None, alt: str) -> None:
        if url is None or url == self._preview:
            return
        if self._preview is None:
            with self._canvas:
                self._image = image(url, f"Preview: {alt}")
        else:
            adorn(self._image, src=local(url))
        self._preview = url

    def _lay_over(self, url: str | None, alt: str) -> None:
        """Show the finished image over the preview, before it is kept.

        It may vanish: the page takes one away that does not load (``easel.js``).
        """
        if url is None or url == self._rendered:
            return
        self._rendered = url
        with self._canvas:
            image(url, alt, data_rendered="")

    def _build_pictures(self, document: StatusDocument, images: list[OutputDocument]) -> None:
        first = images[0]
        with box("pictures") as pictures:
            width, height = first.width or 1, first.height or 1
            wide = columns_for(len(images), width / height, _WIDE_STAGE)
            tall = columns_for(len(images), width / height, _TALL_STAGE)
            pictures.style(
                f"--cols: {wide}; --rows: {math.ceil(len(images) / wide)}; "
                f"--cols-tall: {tall}; --rows-tall: {math.ceil(len(images) / tall)}"
            )
            ratio_style(pictures, width, height)
            with box("pictures-grid"):
                for number, kept in enumerate(images):
                    self._build_picture(document, kept, number, len(images))
        with box("caption"):
            with box("caption-row"):
                _build_batch(document)
                with box("onward"):
                    main = next((one for one in images if one.primary), images[0])
                    build_onward(self._actions.onward, main, document.request)
                box("grow")
                self._build_actions(document, images)
            _build_made(document, images)
            self._notices.build(document)

    def _build_picture(
        self, document: StatusDocument, kept: OutputDocument, number: int, count: int
    ) -> None:
        href = f"/g/{document.task_id}" + (f"?i={number}" if number else "")
        with box("picture-cell"):
            said = subject(document.request, 200) or kept.name
            if is_picture(kept):
                with box("picture-link", "a", href=href):
                    kept_output(kept, said)
            else:  # it has buttons of its own, which cannot stand in a link
                with box(f"picture-link is-{kept.kind}"):
                    kept_output(kept, said)
            if count > 1:
                link(
                    f"Download {KIND_WORDS[kept.kind].lower()} {number + 1}",
                    local(kept.url),
                    icon_name="save",
                    bare=True,
                    classes="picture-save",
                    download=True,
                )

    def _build_actions(self, document: StatusDocument, images: list[OutputDocument]) -> None:
        request, actions = document.request, self._actions
        if isinstance(request, ResolvedRequest):
            vary = button("Vary", icon_name="vary", classes="btn-quiet", key="v")
            vary.on("click", _calling(actions.vary, request), args=[])
            use = button("Reuse settings", icon_name="reuse", classes="btn-quiet", key="a")
            use.on("click", _calling(actions.use, request), args=[])
        if len(images) == 1:
            link(
                "Download",
                local(images[0].url),
                icon_name="save",
                bare=True,
                key="s",
                classes="btn-quiet",
                download=True,
            )
        else:
            button(
                f"Download all {len(images)}",
                icon_name="save",
                bare=True,
                key="s",
                classes="btn-quiet",
                data_download_all="",
            )
        link("Open", f"/g/{document.task_id}", icon_name="open", bare=True, classes="btn-quiet")
        button(
            "Delete" if len(images) == 1 else f"Delete all {len(images)}",
            lambda: actions.delete(document.task_id),
            icon_name="trash",
            bare=True,
            classes="btn-quiet guarded",
            key="Delete",
        )

    def _build_removed(self, document: StatusDocument) -> None:
        with box("empty"):
            Text(removed(document), "empty-title", "h2")
            Text(subject(document.request, 200), "muted", "p")
            with box("row"):
                if isinstance(document.request, ResolvedRequest):
                    use = button("Reuse settings", icon_name="reuse", classes="btn-primary")
                    use.on("click", _calling(self._actions.use, document.request), args=[])
                link("Details", f"/g/{document.task_id}")

    def _build_ended(self, document: StatusDocument) -> None:
        error, request = document.error, document.request
        with box("empty"):
            Text(error.title if error else "Cancelled", "empty-title", "h2")
            adorn(Text(subject(request, 200), "ended-prompt", "p"), dir="auto")
            if error is not None:
                Text(error.detail, "detail", "p")
                Text(advice(error, request.model), "muted", "p")
            self._notices.build(document)
            with box("row"):
                if isinstance(request, ResolvedRequest):
                    button(
                        "Retry",
                        lambda: self._actions.retry(document.task_id),
                        icon_name="retry",
                        classes="btn-primary guarded",
                    )
                    use = button("Reuse settings", icon_name="reuse")
                    use.on("click", _calling(self._actions.use, request), args=[])
                link("Details", f"/g/{document.task_id}")
                button(
                    "Delete",
                    lambda: self._actions.delete(document.task_id),
                    icon_name="trash",
                    classes="guarded",
                    key="Delete",
                )


def columns_for(count: int, ratio: float, space: float) -> int:
    """Returns in how many columns images of a ratio are largest; ``space`` is a ratio too."""
    return max(
        range(1, count + 1),
        key=lambda columns: min(space / columns, ratio / math.ceil(count / columns)),
    )


def _build_made(document: StatusDocument, images: list[OutputDocument]) -> None:
    """Show what the generation is made from, as a link to all of it."""
    request = document.request
    facts = [said] if (said := operation(request)) else []
    facts += [model_name(request.model)] if request.model else []
    if isinstance(request, ResolvedRequest):
        facts += [f"{w} × {h}" for w, h in [_size(request, images)] if w]
        facts += [] if request.seed is None else [f"seed {request.seed}"]
    if images and document.finished_at and document.started_at:
        facts.append(brief((document.finished_at - document.started_at).total_seconds()))
    prompt = subject(request, 300)
    with box("made", "a", href=f"/g/{document.task_id}", title=prompt):
        adorn(Text(prompt, "made-prompt"), dir="auto")
        Text(" · ".join(facts), "muted made-facts")


def _size(request: ResolvedRequest, images: list[OutputDocument]) -> tuple[int, int]:
    """Returns the size asked for, or that came out where it follows from an image; 0 × 0: none."""
    found = images[0] if images else None
    made = (found.width or 0, found.height or 0) if found is not None else (0, 0)
    return request.size or made


def _build_batch(document: StatusDocument, classes: str = "") -> None:
    """Link the batch of the generation, if it has one."""
    if document.batch_id is not None:
        address = f"/b/{document.batch_id}"
        label = "The batch it belongs to"
        with box(f"link of-batch {classes}", "a", href=address, aria_label=label):
            icon("batch")
            Text("Batch")


def _shape(document: StatusDocument | None, images: list[OutputDocument]) -> tuple[object, ...]:
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
