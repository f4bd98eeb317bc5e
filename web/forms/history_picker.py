"""A sheet of earlier artefacts, to use one of them as the file of an input."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from api.generations.documents import HistoryItem, OutputDocument
from core.artefacts import ArtefactKind
from core.workflows.declaration import Input, InputType
from store.values import HistoryFilter
from web.parts.elements import Text, adorn, box, button, icon, image
from web.parts.layout import Web, errors_as_toasts
from web.parts.outputs import KIND_WORDS, badge_of
from web.parts.sheets import Sheet
from web.parts.wording import subject

PAGE: Final = 24
TAKEN: Final[dict[InputType, tuple[ArtefactKind, ...]]] = {
    "image": ("image",),
    "mask": ("image",),
    "video": ("video",),
    "audio": ("audio",),
    "model3d": ("model3d",),
    "file": ("image", "animation", "video", "audio", "model3d", "text", "file"),
}
"""The kinds of artefact that an input of each type takes."""


class HistoryPicker:
    """``pick`` opens the sheet; it is built for each choice."""

    def __init__(self, web: Web) -> None:
        self._web = web

    async def pick(self, one: Input, on_reference: Callable[[str], None]) -> None:
        """Offer artefacts that the input takes; the chosen one's reference is passed on."""
        sheet = Sheet("From history", "pick-sheet")
        await _Page(self._web, TAKEN[one.type], sheet, on_reference).load(None)
        sheet.open()


class _Page:
    """A page of artefacts, newest first."""

    def __init__(
        self,
        web: Web,
        kinds: tuple[ArtefactKind, ...],
        sheet: Sheet,
        on_reference: Callable[[str], None],
    ) -> None:
        self._web = web
        self._kinds = kinds
        self._sheet = sheet
        self._on_reference = on_reference

    async def load(self, cursor: str | None) -> None:
        """Show the page that the cursor names."""
        wanted = HistoryFilter(status=("succeeded",), kind=self._kinds)
        page = await self._web.facade.history(wanted, PAGE, cursor)
        items = [item for item in page.items if item.task_id not in self._web.trash]
        self._sheet.body.clear()
        with self._sheet.body:
            if not items:
                Text("There is none yet.", "muted", "p")
            with box("picks", "ul", aria_label="Earlier outputs"):
                for item in items:
                    self._build_item(item)
            with box("pager"):
                self._turn("Newer", page.previous_cursor if cursor else None)
                self._turn("Older", page.next_cursor)

    def _turn(self, label: str, cursor: str | None) -> None:
        if cursor is not None:
            button(label, errors_as_toasts(partial(self.load, cursor)), classes="btn-small")

    def _build_item(self, item: HistoryItem) -> None:
        for kept in item.outputs:
            if kept.kind in self._kinds:
                self._build_one(kept, subject(item.request, 120) or kept.name)

    def _build_one(self, kept: OutputDocument, said: str) -> None:
        with box("", "li"):
            made = box("pick", "button", type="button", title=said)
            adorn(made, aria_label=f"{KIND_WORDS[kept.kind]}: {said}")
            made.on("click", partial(self._chosen, f"artefact:{kept.artefact_id}"), args=[])
            with made:
                if kept.poster_url is not None:
                    image(kept.poster_url, "", loading="lazy")
                else:
                    icon("file")
                    adorn(Text(kept.name, "pick-name"), dir="auto")
                if badge := badge_of(kept.kind, kept.duration_s):
                    Text(badge, "badge")

    def _chosen(self, reference: str) -> None:
        self._sheet.close()
        self._on_reference(reference)
