"""One generation, linkable: its images, settings, attempts, and actions."""

from __future__ import annotations

import json
import shlex
from uuid import UUID

from nicegui import ui

from api.generations.documents import (
    AttemptDocument,
    CallbackDocument,
    OutputDocument,
    StatusDocument,
    callback_document,
)
from api.options import read_options
from core.callbacks.callback import GENERATION_EVENTS
from core.ids import parse_generation_id
from core.requests import (
    DEFAULT_WORKFLOW,
    GenerationRequest,
    ResolvedRequest,
    StoredRequest,
    UnreadableRequest,
)
from core.status import RETRYABLE, is_final
from core.wording import brief, model_name
from store.errors import DeletedError, NotFoundError
from store.values import Generation, Membership, Neighbours
from web.forms import drafts
from web.forms.drafts import Draft
from web.forms.workflow_drafts import WorkflowDraft
from web.forms.workflow_inputs import label_of
from web.history.listing import Listing
from web.history.viewer import Viewer
from web.parts.callbacks import LOOK_EVERY_S, Callbacks
from web.parts.clock import ask_zone, created_words
from web.parts.elements import Text, adorn, box, button, icon, link, local
from web.parts.layout import Frame, Web, errors_as_toasts, section
from web.parts.live import Live
from web.parts.outputs import KIND_WORDS
from web.parts.wording import (
    STATUS_WORDS,
    advice,
    raw_rows,
    title,
    unreadable_note,
)


class PicturePage:
    """One open picture page. The arrows change what it shows, and its URL with it."""

    def __init__(self, web: Web, task_id: str, number: int, listing: Listing) -> None:
        self._web = web
        self._listing = listing
        self._id = parse_generation_id(task_id)
        self._number = number
        self._document: StatusDocument | None = None
        self._created: Text | None = None
        self._callbacks: Callbacks | None = None
        self._images: list[OutputDocument] = []
        self._labels: dict[str, str] = {}
        self._beside = Neighbours(None, None)
        self._live = Live(web.facade)
        self._loads = 0
        self._frame = Frame(web, "Image", self._load, self._show_again)
        with box("picture"):
            with section("viewer-area", "Image"):
                self._viewer = Viewer(
                    listing,
                    errors_as_toasts(self._to_before),
                    errors_as_toasts(self._to_after),
                    errors_as_toasts(self._retry),
                )
            with section("details", "Details") as details:
                self._details = details

    async def start(self) -> None:
        """Load it, then follow it."""
        await self._load()
        self._frame.start()
        ask_zone(self._zone_known)
        self._live.start(self._changed)
        ui.timer(LOOK_EVERY_S, self._look_at_callbacks, immediate=False)

    async def _look_at_callbacks(self) -> None:
        if self._callbacks is not None:
            await self._callbacks.look()

    def _zone_known(self) -> None:
        """Show the times in the visitor's zone.

        In place: a press on a button that is built anew meanwhile is lost, and the zone is known
        just when a new visitor may press the first one.
        """
        if self._document is not None and self._created is not None:
            self._created.text = _created(self._document)
        if self._callbacks is not None:
            self._callbacks.show()

    # --- reading

    async def _load(self) -> None:
        facade, wanted = self._web.facade, self._id
        self._document, self._images, self._callbacks = None, [], None
        self._loads = load = self._loads + 1
        if wanted is None or wanted in self._web.trash:
            self._say_gone(deleted=wanted is not None)
            return
        try:
            document = await facade.status(wanted)
            images = await facade.outputs(wanted)
            beside = await self._listing.neighbours(self._web, wanted)
        except NotFoundError as error:
            if load == self._loads:
                self._say_gone(deleted=isinstance(error, DeletedError))
            return
        if load != self._loads:
            return  # a later load shows newer data
        self._document, self._images, self._beside = document, images, beside
        self._number = max(0, min(self._number, len(self._images) - 1))
        self._show()
        await self._show_details()

    def _say_gone(self, *, deleted: bool) -> None:
        ui.page_title("Not found · Easel")
        self._viewer.say(
            "This image was deleted" if deleted else "There is no such image",
            "Deleted images cannot be restored." if deleted else "The link may be incomplete.",
        )
        self._details.clear()

    def _show(self) -> None:
        document = self._document
        assert document is not None  # _load has read it
        ui.page_title(f"{self._kind_words()} · Easel")
        self._viewer.show(
            document,
            self._images,
            self._number,
            before=self._number > 0 or self._beside.before is not None,
            after=self._number + 1 < len(self._images) or self._beside.after is not None,
        )

    def _kind_words(self) -> str:
        """Returns what the browser's title says: browsers keep titles, so never the prompt."""
        return KIND_WORDS[self._images[self._number].kind] if self._images else "Generation"

    async def _changed(self, generation: Generation) -> None:
        if generation.id != self._id:
            return
        if self._document is None:  # being loaded: perhaps read just before this change
            await self._load()
            return
        before = self._document.status
        if before != generation.status or is_final(generation.status):
            await self._load()
            return
        self._document = await self._web.facade.document(generation)
        self._show()

    # --- moving

    async def _to_before(self) -> None:
        if self._number > 0:
            await self._go(self._id, self._number - 1)
        elif self._beside.before is not None:
            await self._go(self._beside.before, 10_000)

    async def _to_after(self) -> None:
        if self._number + 1 < len(self._images):
            await self._go(self._id, self._number + 1)
        elif self._beside.after is not None:
            await self._go(self._beside.after, 0)

    async def _go(self, task_id: UUID | None, number: int) -> None:
        self._id, self._number = task_id, number
        await self._load()
        at = f"i={self._number}" if self._number else ""
        query = "&".join(part for part in (at, self._listing.query) if part)
        ui.navigate.history.replace(f"/g/{task_id}?{query}" if query else f"/g/{task_id}")

    # --- details

    async def _show_details(self) -> None:
        document = self._document
        assert document is not None  # _load has read it
        attempts = (await self._web.facade.attempts(document.task_id)).attempts
        batch = await self._web.batches.membership(document.task_id)
        heard_by = _callbacks(document, batch)
        callbacks = Callbacks(self._web.deliveries, heard_by, task_id=document.task_id)
        await callbacks.read()
        workflow = await self._web.facade.workflow(document.request.workflow)
        if document is not self._document:
            return  # the page shows something newer by now
        self._callbacks = callbacks
        inputs = workflow.inputs if workflow is not None else ()
        self._labels = {one.name: label_of(one) for one in inputs}
        self._details.clear()
        with self._details:
            _build_prompt(document.request)
            if batch is not None:
                _build_batch(batch)
            self._build_actions(document)
            self._build_settings(document)
            self._build_copies(document)
            callbacks.build()
            _build_attempts(attempts, document.request.model)

    def _build_actions(self, document: StatusDocument) -> None:
        with box("actions"):
            primary = "btn-primary" if document.status == "succeeded" else ""
            readable = isinstance(document.request, ResolvedRequest)
            if readable:
                button(
                    "Vary", errors_as_toasts(self._vary), icon_name="vary", classes=primary, key="v"
                )
            if readable and document.status in RETRYABLE:
                button("Retry", errors_as_toasts(self._retry), icon_name="retry")
            if not is_final(document.status):
                button("Cancel", errors_as_toasts(self._cancel), icon_name="close")
            if self._images:
                url = local(self._images[self._number].url)
                link("Download", url, icon_name="save", key="s", download=True)
            button("Delete", errors_as_toasts(self._delete), icon_name="trash", key="Delete")
        if not readable:
            return
        with box("reuse", role="group", aria_label="Reuse in the studio"):
            for label, use, key in (
                ("Reuse settings", self._use_all, "a"),
                ("Prompt only", self._use_prompt, None),
                ("Seed only", self._use_seed, None),
            ):
                button(label, errors_as_toasts(use), classes="btn-small", key=key)

    def _build_settings(self, document: StatusDocument) -> None:
        request = document.request
        rows = self._rows(request)
        rows.append(("Created", _created(document)))
        if document.status != "succeeded":
            rows.insert(0, ("Status", STATUS_WORDS[document.status]))
        with box("settings", "dl"):
            for name, value in rows:
                with box("", "div"):
                    Text(name, tag="dt")
                    shown = Text(value, tag="dd")
                if name == "Created":
                    self._created = shown

    def _rows(self, request: StoredRequest) -> list[tuple[str, str]]:
        if isinstance(request, UnreadableRequest):
            return raw_rows(request)
        if request.workflow != DEFAULT_WORKFLOW:
            return self._input_rows(request)
        return [
            ("Model", model_name(request.model)),
            ("Size", f"{request.width} × {request.height}"),
            ("Steps", str(request.steps)),
            ("CFG", f"{request.cfg:g}"),
            ("Sampler", request.sampler),
            ("Scheduler", request.scheduler),
            ("Seed", str(self._seed(request))),
        ]

    def _input_rows(self, request: ResolvedRequest) -> list[tuple[str, str]]:
        """Returns the inputs of any workflow; its prompts stand above."""
        texts = {request.prompt, request.negative_prompt}
        shown = [
            (self._labels.get(name, name), value if isinstance(value, str) else _json(value))
            for name, value in request.inputs.items()
            if value is not None and not (isinstance(value, str) and value in texts)
        ]
        return [("Workflow", request.workflow), *((name, title(said, 300)) for name, said in shown)]

    def _seed(self, request: ResolvedRequest) -> int | None:
        kept = self._images[self._number].seed if self._images else None
        return request.seed if kept is None else kept

    def _build_copies(self, document: StatusDocument) -> None:
        url = f"{self._web.facade.links.status(document.task_id)}"
        origin = url.partition("/api/")[0]
        with box("copies", role="group", aria_label="Copy"):
            Text("Copy", "label")
            copies = [
                ("Prompt", document.request.prompt),
                ("Link", f"{origin}/g/{document.task_id}"),
            ]
            if isinstance(document.request, ResolvedRequest):
                copies.append(("curl", _curl(origin, document.request)))
            for label, content in copies:
                button(
                    label,
                    classes="btn-small",
                    data_copy=content,
                    data_copy_origin=None if label == "Prompt" else origin,
                )

    # --- what the visitor does

    async def _vary(self) -> None:
        request = self._request()
        again = request.without("seed")
        values = again.model_dump(exclude={"metadata", "priority"})
        created = await self._web.facade.create(GenerationRequest(**values))
        ui.navigate.to(f"/?g={created.task_id}")

    async def _retry(self) -> None:
        if self._id is not None:
            await self._web.facade.retry(self._id)

    async def _cancel(self) -> None:
        if self._id is not None:
            await self._web.facade.cancel(self._id)
            await self._load()

    async def _delete(self) -> None:
        """Show the next one before deleting: the place in the history is kept."""
        gone = self._id
        if gone is None or self._document is None:
            return
        beside = self._beside.after or self._beside.before
        if beside is not None:
            self._web.trash.put([gone])
            await self._go(beside, 0)
        await self._frame.delete([gone])

    async def _show_again(self, ids: tuple[UUID, ...]) -> None:
        """Show what was taken back from the trash: the page has gone on to its neighbour."""
        await self._go(ids[0], 0)

    async def _use_all(self) -> None:
        request = self._request()
        if request.workflow != DEFAULT_WORKFLOW:
            self._use_inputs(request)
            return
        draft, native = Draft.load(), None
        if self._web.facade.catalogue.current is not None:
            models = (await read_options(self._web.facade)).models
            native = next((m.defaults for m in models if m.name == request.model), None)
        drafts.keep_replaced(draft)
        draft.use(request, native)
        self._to_studio(draft)

    def _use_inputs(self, request: ResolvedRequest) -> None:
        chosen = WorkflowDraft.load()
        chosen.put(request.workflow, request.inputs)
        chosen.chosen = request.workflow
        chosen.save()
        ui.navigate.to("/")

    async def _use_prompt(self) -> None:
        draft, request = Draft.load(), self._request()
        drafts.keep_replaced(draft)
        draft.prompt, draft.negative = request.prompt, request.negative_prompt
        self._to_studio(draft)

    async def _use_seed(self) -> None:
        draft, request = Draft.load(), self._request()
        drafts.keep_replaced(draft)
        draft.use_seed(request)
        draft.seed = self._seed(request)
        self._to_studio(draft)

    def _to_studio(self, draft: Draft) -> None:
        draft.save()
        WorkflowDraft.load().change(chosen=DEFAULT_WORKFLOW)
        ui.navigate.to("/")

    def _request(self) -> ResolvedRequest:
        assert self._document is not None  # without it there are no buttons
        assert isinstance(self._document.request, ResolvedRequest)
        return self._document.request


def _callbacks(document: StatusDocument, batch: Membership | None) -> list[CallbackDocument]:
    """Returns the callbacks that hear of it: its own, and its batch's if that asks for items."""
    found = [document.callback, callback_document(batch.callback if batch is not None else None)]
    wanted = [
        one.model_copy(update={"events": [e for e in one.events if e in GENERATION_EVENTS]})
        for one in found
        if one is not None
    ]
    return [one for one in wanted if one.events]


def _build_prompt(request: StoredRequest) -> None:
    """Show the request; or that this version cannot read all of it."""
    adorn(Text(request.prompt, "prompt-text", "h1"), dir="auto")
    if isinstance(request, UnreadableRequest):
        Text(unreadable_note(request), "note", "p")
    elif request.negative_prompt:
        with box("without"):
            Text("Negative prompt", "label")
            adorn(Text(request.negative_prompt, "", "p"), dir="auto")


def _build_batch(batch: Membership) -> None:
    """Link its batch."""
    with box("link of-batch", "a", href=f"/b/{batch.batch_id}"):
        icon("batch")
        adorn(
            Text(f"{batch.position + 1:,} of {batch.total:,} in “{title(batch.name, 60)}”"),
            dir="auto",
        )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _created(document: StatusDocument) -> str:
    return f"{created_words(document.created_at)}{_taken(document)}"


def _taken(document: StatusDocument) -> str:
    if document.started_at is None or document.finished_at is None:
        return ""
    return f" · took {brief((document.finished_at - document.started_at).total_seconds())}"


def _curl(origin: str, request: ResolvedRequest) -> str:
    body = request.model_dump(exclude={"metadata", "callback_url", "priority", "timeout_s"})
    text = shlex.quote(json.dumps(body, ensure_ascii=False))
    return (
        f"curl -X POST {origin}/api/v1/generation/create "
        f"-H 'Content-Type: application/json' -d {text}"
    )


def _build_attempts(attempts: list[AttemptDocument], model: str) -> None:
    troubled = len(attempts) > 1 or any(attempt.error for attempt in attempts)
    with box("fold", "details", open=troubled):
        with box("fold-head", "summary"):
            icon("chevron")
            Text("1 attempt" if len(attempts) == 1 else f"{len(attempts)} attempts")
        with box("attempts", "ol"):
            for attempt in reversed(attempts):
                _build_attempt(attempt, model)


def _build_attempt(attempt: AttemptDocument, model: str) -> None:
    with box("attempt", "li"):
        with box("attempt-head"):
            word = STATUS_WORDS[attempt.outcome] if attempt.outcome else "Running"
            Text(f"{attempt.number}. {word}", "attempt-name")
            if attempt.started_at and attempt.ended_at:
                Text(brief((attempt.ended_at - attempt.started_at).total_seconds()), "muted")
            box("grow")
            if attempt.flow_run_url:
                made = box("link", "a", href=attempt.flow_run_url, target="_blank", rel="noopener")
                with made:
                    Text("Open in Prefect")
                    icon("open")
        if attempt.error is not None:
            Text(attempt.error.detail, "detail", "p")
            Text(advice(attempt.error, model), "muted", "p")
        if attempt.error is not None and attempt.worker:
            Text(f"Worker: {attempt.worker}", "muted small", "p")
