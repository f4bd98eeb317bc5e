"""The head of a batch's page: its progress, why it waits, and the possible actions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.batches.documents import BatchDocument
from core.artefacts import ArtefactKind
from core.stored import Unreadable
from core.wording import ago, brief
from web.batches.bar import Bar
from web.batches.wording import counted, done_line, is_active, pace_line, plural, state_words
from web.parts.elements import Text, adorn, box, button, icon, link, local, show_if
from web.parts.fields import folded
from web.parts.wording import raw_rows

_Press = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class BatchActions:
    """The actions on a batch."""

    pause: _Press
    resume: _Press
    cancel: _Press
    retry_failed: _Press
    again: _Press


class BatchHead:
    """Built once; ``show`` updates it, and only changes are sent to the browser."""

    kind: ArtefactKind | None = "image"
    """What the batch makes."""

    def __init__(self, actions: BatchActions) -> None:
        self._actions = actions
        self._shape: tuple[object, ...] | None = None
        self._status: str | None = None
        self.root = box("batch-top is-away")
        with self.root:
            with box("batch-title"):
                with box("batch-names"):
                    self._name = adorn(Text("", "title batch-h1", "h1"), dir="auto")
                    self._state = Text("", "batch-state")
                self._buttons = box("batch-buttons")
            self._bar = Bar("Progress of the batch")
            with box("batch-lines"):
                self._done = Text("", "headline")
                self._pace = Text("", "muted line")
                box("grow")
                self._when = Text("", "muted line")
                self._links = box("batch-links")
            self._note = Text("", "note is-away", "p")
            self._said = adorn(Text("", "sr-only"), role="status")

    def show(self, document: BatchDocument) -> None:
        """Update it."""
        counts = document.counts
        shape = (
            document.status,
            counts.succeeded > 0,
            rest_label(document),
            document.urls.flow_run,
        )
        if shape != self._shape:
            self._shape = shape
            self.root.classes(replace=f"batch-top is-{document.status}")
            self._build_buttons(document)
            self._build_links(document)
        if document.status != self._status:
            self._status = document.status
            self._said.text = f"{document.name}: {state_words(document)}"
        self._name.text = document.name
        self._state.text = state_words(document)
        self._done.text = done_line(document)
        self._pace.text = pace_line(document)
        self._when.text = _when(document)
        self._bar.show(document)
        note = _note(document, self.kind)
        self._note.text = note
        show_if(self._note, note)

    def _build_buttons(self, document: BatchDocument) -> None:
        actions, status = self._actions, document.status
        self._buttons.clear()
        with self._buttons:
            if status in ("queued", "running"):
                button("Pause", actions.pause, icon_name="pause")
            if status == "paused":
                button("Resume", actions.resume, icon_name="play", classes="btn-primary")
            if status in ("failed", "cancelled"):
                button(
                    rest_label(document),
                    actions.retry_failed,
                    icon_name="retry",
                    classes="btn-primary",
                )
            if document.counts.succeeded:
                primary = "btn-primary" if status == "succeeded" else ""
                url = local(document.urls.results)
                link("Download all", url, icon_name="save", classes=primary, download=True)
            if not is_active(document):
                button("Reuse settings", actions.again, icon_name="reuse")
            if is_active(document) and status != "cancelling":
                button("Cancel", actions.cancel, icon_name="close")

    def _build_links(self, document: BatchDocument) -> None:
        self._links.clear()
        with self._links:
            if document.counts.succeeded:
                _outside("Contact sheet", local(document.urls.contact_sheet))
            if document.urls.flow_run is not None:
                _outside("Open in Prefect", document.urls.flow_run)


def rest_label(document: BatchDocument) -> str:
    """Returns the label of the button that continues an ended batch."""
    counts = document.counts
    if counts.waiting or counts.cancelled or not counts.failed:
        return "Generate the rest"
    return f"Retry {counts.failed:,} failed"


def _note(document: BatchDocument, kind: ArtefactKind | None) -> str:
    """Returns why the batch is in its state, and what to do."""
    several = plural(kind)
    counts = document.counts
    match document.status:
        case "failed":
            why = document.error.detail if document.error else "The batch is incomplete."
            return f"{why} “{rest_label(document)}” generates only what is missing."
        case "cancelled":
            return (
                f"Cancelled with {counts.succeeded:,} of {counted(document.total, kind)} finished."
            )
        case "succeeded":
            gone = f", {counts.deleted:,} were deleted since" if counts.deleted else ""
            return f"All {several} are finished{gone}. “Download all” saves them as one ZIP file."
        case "cancelling":
            return f"Running {several} are being stopped. Finished {several} are kept."
        case _:
            return document.waiting.detail.replace("`", "") if document.waiting else ""


def _when(document: BatchDocument) -> str:
    by = f" by the schedule “{document.schedule}”" if document.schedule else ""
    if document.started_at and document.finished_at:
        taken = (document.finished_at - document.started_at).total_seconds()
        return f"{ago(document.created_at)}{by} · took {brief(taken)}"
    return f"started {ago(document.created_at)}{by}"


def build_facts(document: BatchDocument) -> None:
    """Show the options of the batch, as requested besides its rows."""
    with folded("Details"), box("settings batch-facts", "dl"):
        for name, value in _facts(document):
            with box("", "div"):
                Text(name, tag="dt")
                Text(value, tag="dd")


def _facts(document: BatchDocument) -> list[tuple[str, str]]:
    options = document.options
    if isinstance(options, Unreadable):
        return [("Seed", str(document.seed)), *raw_rows(options)]
    share = options.stop_at_failure_share
    rows = [
        ("Seed", str(document.seed)),
        ("Parallel jobs", str(options.max_in_flight)),
        ("Wildcards", "expanded" if options.wildcards else "taken literally"),
    ]
    if options.stop_after_failures is not None:
        rows.append(("Stop after failures", f"{options.stop_after_failures:,}"))
    if share is not None:
        rows.append(("Stop at % failed", f"{share:.0%}"))
    if options.not_after is not None:
        zone = options.timezone or "the server's time"
        rows.append(("Stop starting at", f"{options.not_after} ({zone})"))
    return rows


def _outside(label: str, href: str) -> None:
    made = box("link", "a", href=href, target="_blank", rel="noopener")
    with made:
        Text(label)
        icon("open")
