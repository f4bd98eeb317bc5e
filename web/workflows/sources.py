"""What this ComfyUI offers as workflows: searched, and opened with one press."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from api.workflows.documents import SourceDocument
from api.workflows.facade import WorkflowFacade
from web.parts.elements import Text, adorn, box, button, show_if
from web.parts.fields import Segments, line
from web.parts.layout import errors_as_toasts
from web.parts.wording import sentence
from web.workflows.wording import KIND_WORDS

_SHOWN: Final = 30
"""How many of a kind are shown at once; a search finds the others."""
_ALL: Final = "all"


class Sources:
    """The list. ``pick`` is called with the source that was pressed."""

    def __init__(
        self, workflows: WorkflowFacade, pick: Callable[[SourceDocument], Awaitable[None]]
    ) -> None:
        self._workflows = workflows
        self._pick = pick
        self._offered: list[SourceDocument] = []
        self._kind, self._text = _ALL, ""
        self._is_asking = False
        with box("sources is-away", "section", aria_label="From this ComfyUI") as self._root:
            with box("side-head"):
                Text("From this ComfyUI", "side-title", "h2")
                self._said = adorn(Text("", "muted small"), role="status")
                box("grow")
                button(
                    "Close the list", self.hide, icon_name="close", bare=True, classes="btn-quiet"
                )
            self._away = box("sources-away is-away")
            self._tools = box("sources-tools is-away")
            self._list = box("sources-list")

    async def show(self) -> None:
        """Show what there is, asked for anew."""
        show_if(self._root, True)
        if self._is_asking:
            return
        self._is_asking = True
        self._said.text = "Asking ComfyUI…"
        try:
            found = await self._workflows.sources()
            self._offered = found.items
            self._say_away(found.problem)
            self._show_tools()
            self._show_list()
        finally:
            self._is_asking = False
            self._said.text = ""

    def hide(self) -> None:
        """Close the list."""
        show_if(self._root, False)

    def _say_away(self, problem: str | None) -> None:
        """Say that ComfyUI does not answer, and why; None says nothing."""
        self._away.clear()
        show_if(self._away, problem)
        if problem is None:
            return
        with self._away, box("empty"):
            Text("ComfyUI isn't answering", "empty-title", "h3")
            what_to_do = "Start ComfyUI and try again; a file can be dropped meanwhile."
            Text(f"{sentence(problem)} {what_to_do}", "muted", "p")
            again = button("Try again", icon_name="retry", classes="btn-primary")
            again.on("click", errors_as_toasts(self.show), args=[])

    def _show_tools(self) -> None:
        kinds = [kind for kind in KIND_WORDS if any(one.kind == kind for one in self._offered)]
        self._kind = self._kind if self._kind in kinds else _ALL
        self._tools.clear()
        show_if(self._tools, self._offered)
        with self._tools:
            found = line("Search", self._text, self._search, type="search")
            found.props("debounce=200").classes("sources-search")
            if len(kinds) > 1:
                options = {_ALL: "All", **{kind: KIND_WORDS[kind] for kind in kinds}}
                Segments("Kind", options, self._kind, self._filter)

    async def _open(self, one: SourceDocument) -> None:
        self._said.text = "Reading it…"
        try:
            await self._pick(one)
        finally:
            self._said.text = ""

    def _search(self, text: str) -> None:
        self._text = text
        self._show_list()

    def _filter(self, kind: str) -> None:
        self._kind = kind
        self._show_list()

    def _show_list(self) -> None:
        found = [one for one in self._offered if self._is_wanted(one)]
        self._list.clear()
        with self._list:
            for kind, words in KIND_WORDS.items():
                if of_kind := [one for one in found if one.kind == kind]:
                    self._build_kind(words, of_kind)
            if not found:
                said = "Nothing like that is offered." if self._offered else "It offers none."
                Text(said, "muted nothing", "p")

    def _is_wanted(self, one: SourceDocument) -> bool:
        said = f"{one.title}\n{one.name}\n{one.description}".casefold()
        words = self._text.casefold().split()
        return self._kind in (_ALL, one.kind) and all(word in said for word in words)

    def _build_kind(self, words: str, found: list[SourceDocument]) -> None:
        Text(f"{words} ({len(found):,})", "label", "h3")
        with box("source-items", "ul"):
            for one in found[:_SHOWN]:
                self._build_one(one)
        if len(found) > _SHOWN:
            Text(f"and {len(found) - _SHOWN:,} more: search for them", "muted small", "p")

    def _build_one(self, one: SourceDocument) -> None:
        with box("", "li"), box("source", "button", type="button") as made:
            made.on("click", errors_as_toasts(lambda: self._open(one)), args=[])
            adorn(Text(one.title, "source-title"), dir="auto")
            if one.media:
                Text(one.media, "muted small")
            if one.description:
                adorn(Text(one.description, "source-description"), dir="auto")
