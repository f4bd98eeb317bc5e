"""Where an output can go on to: what is often done next, and any input that takes a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from nicegui import ui

from api.generations.documents import OutputDocument
from api.workflows.documents import WorkflowDocument
from core.artefacts import ArtefactKind, is_shown
from core.requests import StoredRequest
from core.uploads import parse_upload_id
from core.workflows.declaration import INPUTS_MAX, Input, Role
from web.forms.batch_drafts import Axis, BulkDraft
from web.forms.drafts import remember
from web.forms.history_picker import TAKEN
from web.forms.labels import label_of
from web.forms.operations import IN_SIGHT, START, Filled, Operation, filled, possible
from web.forms.workflow_drafts import WorkflowDraft
from web.parts.elements import Text, adorn, box, button, local
from web.parts.layout import Web, errors_as_toasts, toast_error
from web.parts.sheets import Sheet

_START: Final[Role] = "init_image"
_EACH: Final = "A batch: one row for each of them."


@dataclass(frozen=True)
class Place:
    """An input of a workflow that takes a file."""

    workflow: str
    title: str
    input: Input


@dataclass(frozen=True)
class _Choice:
    """A line of the sheet: what is done, and how."""

    title: str
    about: str
    take: Callable[[], Awaitable[None]]


OnPlace = Callable[[Place, str], Awaitable[None]]
"""Puts a reference into the form of the place's workflow."""
OnFilled = Callable[[Filled], Awaitable[None]]
"""Shows the form of a workflow with these values."""


class Onward:
    """``load`` reads which workflows there are; ``offer`` lets the visitor choose."""

    def __init__(self, web: Web, on_place: OnPlace, on_filled: OnFilled) -> None:
        self._web = web
        self._on_place = on_place
        self._on_filled = on_filled
        self._known: list[WorkflowDocument] | None = None
        self._places: list[Place] = []
        self._operations: list[Operation] = []

    async def load(self) -> None:
        """Read where files can go, once for a page."""
        if self._known is not None:
            return
        self._known = known = (await self._web.find_context().workflows.all()).items
        self._operations = possible(known)
        self._places = [
            Place(one.name, one.title, each)
            for one in known
            if not one.built_in
            for each in one.inputs
            if each.is_upload
        ]

    def operations(self, kind: ArtefactKind) -> list[Operation]:
        """Returns what is often done next with an artefact of the kind."""
        return list(self._operations) if kind == "image" else []

    def places(self, kind: ArtefactKind) -> list[Place]:
        """Returns the inputs of added workflows that take an artefact of the kind."""
        return [place for place in self._places if kind in TAKEN[place.input.type]]

    def has_use(self, kept: OutputDocument) -> bool:
        """Returns whether anything takes it."""
        return bool(self.operations(kept.kind) or self.places(kept.kind))

    def has_use_with_others(self, kept: OutputDocument) -> bool:
        """Returns whether anything takes it together with others, or one after the other."""
        return bool(self.operations(kept.kind))

    def _several(self, kind: ArtefactKind) -> list[Operation]:
        return [one for one in self.operations(kind) if self._most(one) > 1]

    def _most(self, operation: Operation) -> int:
        [taken] = [one for one in self._of(operation).inputs if one.name == operation.input]
        return (taken.max_length or INPUTS_MAX) if taken.type == "list" else 1

    def _of(self, operation: Operation) -> WorkflowDocument:
        return next(one for one in self._known or () if one.name == operation.workflow)

    async def do(
        self, operation: Operation, references: Sequence[str], request: StoredRequest | None
    ) -> None:
        """Take images to the form of an operation, with what they were made with."""
        workflow, most = self._of(operation), self._most(operation)
        if len(references) > most:
            toast_error(f"{workflow.title} takes {most:,} images at most.")
            return
        draft = WorkflowDraft.load().of(operation.workflow)
        await self._on_filled(filled(operation, workflow, references, request, draft))

    async def offer(self, kind: ArtefactKind, reference: str, request: StoredRequest) -> None:
        """Let the visitor choose what is done with it; the only possibility is taken at once.

        Inputs of the workflow that made it come first: what was made with it is often changed with
        it.
        """
        places = sorted(self.places(kind), key=lambda place: place.workflow != request.workflow)
        await self._choose(
            "Use this image" if kind == "image" else "Use as input",
            [
                *(self._choice(each, [reference], request) for each in self.operations(kind)),
                *(self._into(place, reference) for place in places),
            ],
        )

    async def offer_all(self, references: Sequence[str], request: StoredRequest) -> None:
        """Let the visitor choose what is done with several images, together or one by one."""
        together = [self._choice(each, references, request) for each in self._several("image")]
        one_by_one = [
            _Choice(one.each, _EACH, partial(go_to_batch, one, references))
            for one in self.operations("image")
            if one.each is not None
        ]
        await self._choose("Use these images", [*one_by_one, *together])

    async def offer_start(self, upload_id: str, workflow: str) -> None:
        """Take a frame that was sent to its place: to start images, if any workflow has one.

        Those of the workflow that made the video come first: clips are often gone on with.
        """
        if parse_upload_id(upload_id) is None:
            return
        reference = f"upload:{upload_id}"
        own = [place for place in self.starts() if place.workflow == workflow]
        others = [place for place in self.starts() if place.workflow != workflow]
        start = [one for one in self.operations("image") if one == START]
        await self._choose(
            "Use this frame",
            [
                *(self._into(place, reference) for place in own),
                *(self._choice(each, [reference], None) for each in start),
                *(self._into(place, reference) for place in others),
            ],
        )

    def starts(self) -> list[Place]:
        """Returns the inputs that take a start image, else all that take an image."""
        places = [place for place in self.places("image") if place.input.type == "image"]
        return [place for place in places if place.input.role == _START] or places

    def _choice(
        self, operation: Operation, references: Sequence[str], request: StoredRequest | None
    ) -> _Choice:
        take = partial(self.do, operation, references, request)
        return _Choice(operation.label, operation.about, take)

    def _into(self, place: Place, reference: str) -> _Choice:
        take = partial(self._on_place, place, reference)
        return _Choice(place.title, label_of(place.input), take)

    async def _choose(self, title: str, choices: list[_Choice]) -> None:
        if len(choices) == 1:
            await choices[0].take()
        elif choices:
            _ask(title, choices)


def _ask(title: str, choices: list[_Choice]) -> None:
    sheet = Sheet(title, "place-sheet")

    async def chosen(one: _Choice) -> None:
        sheet.close()
        await one.take()

    with sheet.body, box("places", "ul"):
        for one in choices:
            with box("", "li"):
                made = box("place", "button", type="button")
                made.on("click", errors_as_toasts(partial(chosen, one)), args=[])
                with made:
                    adorn(Text(one.title, "place-workflow"), dir="auto")
                    adorn(Text(one.about, "muted small"), dir="auto")
    sheet.open()


class FrameButton(ui.element, component="../static/frame_button.js"):
    """Sends the frame that a player shows as an upload; ``src`` is the URL that it plays."""

    def __init__(self, label: str, src: str, on_sent: Callable[[str], Awaitable[None]]) -> None:
        super().__init__()
        self.props["label"] = label
        self.props["src"] = src

        async def sent(upload_id: str) -> None:
            await on_sent(upload_id)

        self.on("sent", lambda event: errors_as_toasts(sent)(str(event.args)))
        self.on("fail", lambda event: toast_error(str(event.args)[:300]))


def build_onward(onward: Onward, kept: OutputDocument, request: StoredRequest) -> None:
    """Build the buttons that take an output on; none where nothing takes it."""
    reference = f"artefact:{kept.artefact_id}"
    operations = onward.operations(kept.kind)
    for one in operations[:IN_SIGHT]:
        do = errors_as_toasts(partial(onward.do, one, [reference], request))
        button(one.label, do, icon_name=one.icon, classes="btn-small")
    if operations[IN_SIGHT:] or onward.places(kept.kind):
        offer = errors_as_toasts(partial(onward.offer, kept.kind, reference, request))
        label = "Use as…" if operations else "Use as input"
        button(label, offer, icon_name="onward", classes="btn-small")
    if kept.kind == "video" and is_shown(kept.content_type) and _takes_frames(onward):
        start = partial(_start, onward, request.workflow)
        FrameButton("Use frame as start image", local(kept.url), start)


def _takes_frames(onward: Onward) -> bool:
    return START in onward.operations("image") or bool(onward.starts())


async def _start(onward: Onward, workflow: str, upload_id: str) -> None:
    await onward.offer_start(upload_id, workflow)


async def take_along(place: Place, reference: str) -> None:
    """Put a reference into the studio's form, and go there."""
    draft = WorkflowDraft.load()
    draft.set(place.workflow, place.input.name, reference)
    draft.change(chosen=place.workflow)
    ui.navigate.to("/")


async def go_with(found: Filled) -> None:
    """Put these values into the studio's form, and go there; what they replace is offered back."""
    put_into_form(found.workflow, found.values, "prompt")


def put_into_form(workflow: str, values: Mapping[str, Any], prompt: str | None) -> None:
    """Put values of a workflow into the studio's form, and go there.

    What they replace is offered back there; what its input ``prompt`` had is among the earlier
    prompts.
    """
    draft = WorkflowDraft.load()
    if (before := draft.before(workflow, values)) is not None:
        remember(str(before.of(workflow).get(prompt or "") or ""))
        before.keep_replaced()
    draft.put(workflow, values)
    draft.chosen = workflow
    draft.save()
    ui.navigate.to("/")


async def go_to_batch(operation: Operation, references: Sequence[str]) -> None:
    """Put images into the form of a batch, a row each, and go there."""
    before = BulkDraft.load()
    if before.is_begun:
        before.keep_replaced()  # the form's page offers it back
    workflow = operation.workflow
    begun = [Axis(field=operation.input, chosen=list(references))]
    draft = BulkDraft(
        workflow=workflow,
        lists={workflow: begun},
        timezone=before.timezone,
        callback=before.callback,
        callback_events=before.callback_events,
    )
    draft.belongs_to_this_tab()
    draft.save()
    ui.navigate.to("/bulk")
