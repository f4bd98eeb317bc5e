"""Where an output can go on to: the inputs of workflows that take a file of its kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from nicegui import ui

from api.generations.documents import OutputDocument
from core.artefacts import ArtefactKind, is_shown
from core.uploads import parse_upload_id
from core.workflows.declaration import Input, Role
from web.forms.history_picker import TAKEN
from web.forms.workflow_drafts import WorkflowDraft
from web.forms.workflow_inputs import label_of
from web.parts.elements import Text, adorn, box, button, local
from web.parts.layout import Web, errors_as_toasts, toast_error
from web.parts.sheets import Sheet

_START: Final[Role] = "init_image"


@dataclass(frozen=True)
class Place:
    """An input of a workflow that takes a file."""

    workflow: str
    title: str
    input: Input


OnPlace = Callable[[Place, str], Awaitable[None]]
"""Puts a reference into the form of the place's workflow."""


class Onward:
    """``load`` reads which workflows there are; ``offer`` lets the visitor choose a place."""

    def __init__(self, web: Web, on_place: OnPlace) -> None:
        self._web = web
        self._on_place = on_place
        self._places: list[Place] | None = None

    async def load(self) -> None:
        """Read where files can go, once for a page."""
        if self._places is not None:
            return
        known = (await self._web.find_context().workflows.all()).items
        self._places = [
            Place(one.name, one.title, each)
            for one in known
            for each in one.inputs
            if each.is_upload
        ]

    def places(self, kind: ArtefactKind) -> list[Place]:
        """Returns the inputs that take an artefact of the kind."""
        return [place for place in self._places or () if kind in TAKEN[place.input.type]]

    async def offer(self, kind: ArtefactKind, reference: str, workflow: str) -> None:
        """Take the reference to its place; the visitor chooses if there are several.

        Those of ``workflow`` come first: what was made with it is often changed with it.
        """
        places = sorted(self.places(kind), key=lambda place: place.workflow != workflow)
        if len(places) == 1:
            await self._on_place(places[0], reference)
        elif places:
            self._ask(places, reference)

    async def offer_start(self, upload_id: str, workflow: str) -> None:
        """Take a frame that was sent to its place: to start images, if any workflow has one."""
        if parse_upload_id(upload_id) is None:
            return
        places = self.starts()
        first = sorted(places, key=lambda place: place.workflow != workflow)
        if len(first) == 1:
            await self._on_place(first[0], f"upload:{upload_id}")
        elif first:
            self._ask(first, f"upload:{upload_id}")

    def starts(self) -> list[Place]:
        """Returns the inputs that take a start image, else all that take an image."""
        places = [place for place in self.places("image") if place.input.type == "image"]
        return [place for place in places if place.input.role == _START] or places

    def _ask(self, places: list[Place], reference: str) -> None:
        sheet = Sheet("Use as input", "place-sheet")

        async def chosen(place: Place) -> None:
            sheet.close()
            await self._on_place(place, reference)

        with sheet.body, box("places", "ul"):
            for place in places:
                with box("", "li"):
                    made = box("place", "button", type="button")
                    made.on("click", errors_as_toasts(partial(chosen, place)), args=[])
                    with made:
                        adorn(Text(place.title, "place-workflow"), dir="auto")
                        adorn(Text(label_of(place.input), "muted small"), dir="auto")
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


def build_onward(onward: Onward, kept: OutputDocument, workflow: str) -> None:
    """Build the buttons that take an output on; none where no workflow takes it."""
    if onward.places(kept.kind):
        reference = f"artefact:{kept.artefact_id}"
        use = partial(onward.offer, kept.kind, reference, workflow)
        button("Use as input", errors_as_toasts(use), icon_name="onward", classes="btn-small")
    if kept.kind == "video" and is_shown(kept.content_type) and onward.starts():
        start = partial(_start, onward, workflow)
        FrameButton("Use frame as start image", local(kept.url), start)


async def _start(onward: Onward, workflow: str, upload_id: str) -> None:
    await onward.offer_start(upload_id, workflow)


async def take_along(place: Place, reference: str) -> None:
    """Put a reference into the studio's form, and go there."""
    draft = WorkflowDraft.load()
    draft.set(place.workflow, place.input.name, reference)
    draft.change(chosen=place.workflow)
    ui.navigate.to("/")
