"""A workflow as a card: what it gave last, whether it is ready, and what can be done with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from nicegui import ui

from api.workflows.documents import MissingDocument, WorkflowDocument
from core.artefacts import ArtefactKind
from web.parts.elements import Text, adorn, box, button, icon, image, link, local
from web.workflows.editor import show_state

KIND_ICONS: Final[dict[ArtefactKind, str]] = {
    "image": "image",
    "animation": "video",
    "video": "video",
    "audio": "sound",
    "model3d": "cube",
    "text": "text",
    "file": "file",
}


@dataclass(frozen=True)
class CardActions:
    """The actions on a workflow."""

    edit: Callable[[str], Awaitable[None]]
    remove: Callable[[WorkflowDocument], Awaitable[None]]


class WorkflowCard:
    """One workflow as an item of a list."""

    def __init__(self, actions: CardActions) -> None:
        self._actions = actions
        self._shown: tuple[object, ...] | None = None
        self._kind: ArtefactKind | None = None
        self._cover_url: str | None = None
        self.edit: ui.element | None = None
        self.root = box("workflow-card", "li")
        with self.root:
            self._cover = box("workflow-cover", aria_hidden="true")
            self._body = box("workflow-body")
        self._draw_cover()

    def show(self, one: WorkflowDocument, missing: MissingDocument) -> None:
        """Show it as it is; nothing is sent to the browser if it shows that already."""
        shown = (one.version, one.state, tuple(one.lacks), missing)
        if shown == self._shown:
            return
        self._shown = shown
        if one.kind != self._kind:
            self._kind = one.kind
            self._draw_cover()
        self._body.clear()
        self.edit = None
        with self._body:
            adorn(Text(one.title, "workflow-title", "h3"), dir="auto")
            Text(one.name, "code muted")
            show_state(one, missing)
            if one.description:
                adorn(Text(one.description, "workflow-description", "p"), dir="auto")
            self._build_buttons(one)

    def cover(self, url: str | None) -> None:
        """Show what it gave last; None shows what kind of output it has."""
        if url != self._cover_url:
            self._cover_url = url
            self._draw_cover()

    def _draw_cover(self) -> None:
        self._cover.clear()
        with self._cover:
            if self._cover_url is not None:
                image(self._cover_url, "", loading="lazy")
            else:
                icon(KIND_ICONS.get(self._kind or "image", "image"))

    def _build_buttons(self, one: WorkflowDocument) -> None:
        with box("workflow-buttons"):
            use = link("Use in the Studio", studio_url(one.name), classes="btn-small")
            adorn(use, aria_label=f"Use {one.title} in the Studio")
            if one.built_in:
                return
            self.edit = button("Edit", lambda: self._actions.edit(one.name), classes="btn-small")
            adorn(self.edit, aria_label=f"Edit {one.title}")
            link(
                f"Export {one.title}",
                local(f"{one.url}/export"),
                icon_name="save",
                bare=True,
                classes="btn-small btn-quiet",
                download=f"{one.name}.json",
            )
            button(
                f"Remove {one.title}",
                lambda: self._actions.remove(one),
                icon_name="trash",
                bare=True,
                classes="btn-small btn-quiet",
            )


def studio_url(name: str) -> str:
    """Returns where the studio shows the form of a workflow; names need no escapes."""
    return f"/?workflow={name}"
