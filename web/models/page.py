"""The model files that there are: what each is, and what the owner says of it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from nicegui import ui

from api.errors import ProblemError
from api.models.beside import Beside
from api.models.documents import ModelFileDocument, ModelsDocument, ModelSetting
from store.errors import StoreError
from web.models.editor import ModelEditor
from web.models.rows import NOTHING, ModelRows, grouped, row_id
from web.models.wording import (
    FOLDER_WORDS,
    NO_MODELS,
    NOT_REACHED,
    NOTHING_DRAWS,
    count_words,
    in_words,
    is_unknown,
    said_words,
)
from web.parts.elements import Text, adorn, box, button, show_if
from web.parts.fields import choice, line, tick
from web.parts.layout import Frame, Web, errors_as_toasts, section
from web.workflows.editor import build_bar

LOOK_EVERY_S: Final = 2.0
"""How often it is looked whether more is known of the files."""
SHOWN: Final = 200
"""How many files are shown at once; a search finds the others."""
_ALL: Final = ""


class ModelsPage:
    """One open page of model files: their list, or in its place the editor of one."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._models = web.models
        self._files: list[ModelFileDocument] = []
        self._beside: Mapping[tuple[str, str], Beside] = {}
        self._offered: ModelsDocument | None = None
        self._stamp: object = None
        self._text, self._folder, self._unknown = "", _ALL, False
        self._most = SHOWN
        self._is_busy = False
        self._frame = Frame(web, "Models", self._load)
        with box("models"):
            adorn(Text("Models", "sr-only", "h1"))
            with box("models-whole guarded") as self._whole:
                self._build_tools()
                self._empty = box("models-empty is-away")
                self._note = Text(NOTHING_DRAWS, "note is-away", "p")
                self._rows = ModelRows(errors_as_toasts(self._edit))
                self._nothing = Text("No file is like that.", "muted nothing is-away", "p")
                self._more = button("Show more", self._show_more, classes="is-away models-more")
            self._place = box("workflow-editor is-away", "section", aria_label="A model file")

    async def start(self) -> None:
        """Show what there is, then follow what is found out."""
        await self._load()
        self._frame.start()
        ui.timer(LOOK_EVERY_S, self._look, immediate=False)

    def _build_tools(self) -> None:
        with section("models-tools toolbar", "Filter") as self._tools:
            found = line("Search", "", self._search, type="search", data_focus="/", dir="auto")
            found.props("debounce=150").classes("search")
            self._pick = choice("Folder", {_ALL: "All folders"}, _ALL, self._filter)
            self._pick.classes("filter")
            tick("Unknown only", False, self._only_unknown)
            self._said = adorn(Text("", "muted small"), role="status")
            box("grow")
            button("Look again", errors_as_toasts(self._again), icon_name="retry")

    # --- reading

    async def _load(self) -> None:
        self._stamp = await self._models.stamp()  # before the rest: no later change is missed
        try:
            offered = await self._models.all()
            beside = await self._models.beside()
        except ProblemError as error:
            if error.problem.code != "no_catalogue":
                raise
            self._say_empty("ComfyUI has not been reached yet", NOT_REACHED)
            return
        self._offered, self._files = offered, offered.models
        self._beside = in_words(beside, self._web.facade.default_workflow)
        self._show()

    async def _look(self) -> None:
        with contextlib.suppress(StoreError):
            if self._stamp != await self._models.stamp():
                await self._load()

    async def _again(self) -> None:
        if self._is_busy:
            return
        self._is_busy = True
        try:
            self._said.text = "Asking ComfyUI…"
            await self._models.look_again()
            await self._load()
        finally:
            self._is_busy = False

    # --- the list

    def _show(self) -> None:
        if not self._files:
            self._say_empty("ComfyUI has no model files yet", NO_MODELS)
            return
        show_if(self._empty, False)
        counts = Counter(one.folder for one in self._files)
        self._offer_folders(counts)
        found = [one for one in self._files if self._is_wanted(one)]
        shown = found[: self._most]
        live = len({worker for one in self._files for worker in one.workers})
        counted = Counter(one.folder for one in found)
        self._rows.show(grouped(shown, counted, self._beside, live))
        self._said.text = count_words(len(found), sum(map(is_unknown, found)))
        show_if(self._note, not any(map(_draws, self._files)))
        show_if(self._nothing, not found)
        show_if(self._more, len(found) > len(shown))
        show_if(self._rows, found)
        show_if(self._tools, True)

    def _say_empty(self, headline: str, what_to_do: str) -> None:
        for other in (self._tools, self._note, self._rows, self._nothing, self._more):
            show_if(other, False)
        self._empty.clear()
        with self._empty, box("empty"):
            Text(headline, "empty-title", "h2")
            Text(what_to_do, "muted", "p")
            button("Look again", errors_as_toasts(self._again), icon_name="retry")
        show_if(self._empty, True)

    def _offer_folders(self, counts: Counter[str]) -> None:
        options = {_ALL: "All folders"} | {
            folder: f"{words} ({counts[folder]:,})"
            for folder, words in FOLDER_WORDS.items()
            if counts[folder]
        }
        self._folder = self._folder if self._folder in options else _ALL
        if options != self._pick.options:
            self._pick.set_options(options, value=self._folder)

    def _is_wanted(self, one: ModelFileDocument) -> bool:
        if self._folder not in (_ALL, one.folder) or (self._unknown and not is_unknown(one)):
            return False
        said = f"{one.name}\n{one.family_title or ''}\n{' '.join(one.trigger_words)}".casefold()
        return all(word in said for word in self._text.casefold().split())

    def _search(self, text: str) -> None:
        self._text = text
        self._from_start()

    def _filter(self, folder: str | None) -> None:
        self._folder = folder or _ALL
        self._from_start()

    def _only_unknown(self, only: bool) -> None:
        self._unknown = only
        self._from_start()

    def _from_start(self) -> None:
        self._most = SHOWN
        if self._files:
            self._show()

    def _show_more(self) -> None:
        self._most += SHOWN
        self._show()

    # --- saying what a file is

    async def _edit(self, folder: str, name: str) -> None:
        offered = self._offered
        found = [one for one in self._files if (one.folder, one.name) == (folder, name)]
        if not found or offered is None or self._is_busy:
            return
        one = found[0]
        encoders = [each.name for each in self._files if each.folder == "text_encoders"]
        self._place.clear()
        with self._place, box("workflow-editor guarded"):
            beside = self._beside.get((folder, name), NOTHING)
            editor = ModelEditor(one, beside, encoders, offered.vaes)
            self._build_bar(one, editor)
        show_if(self._whole, False)
        show_if(self._place, True)
        ui.run_javascript(f"easel.toTop(); easel.refocus('{editor.heading.html_id}')")

    def _build_bar(self, one: ModelFileDocument, editor: ModelEditor) -> None:
        async def close() -> None:
            self._close(one)

        async def save() -> None:
            try:
                await self._set(one, editor.wanted())
            except ProblemError as error:
                if error.problem.code != "invalid_request":
                    raise
                editor.refuse(error)

        async def take_back() -> None:
            await self._set(one, ModelSetting())

        buttons = [("Cancel", close, False), ("Save", self._once(save), True)]
        if one.setting is not None:
            buttons.insert(1, ("Take back what you said", self._once(take_back), False))
        build_bar(buttons)

    async def _set(self, one: ModelFileDocument, wanted: ModelSetting) -> None:
        made = await self._models.set(one.folder, one.name, wanted)
        before = ModelSetting(**one.setting.model_dump()) if one.setting else ModelSetting()

        async def undo() -> None:
            await self._models.set(one.folder, one.name, before)
            await self._load()

        await self._load()
        self._close(one)
        if wanted != before:
            self._frame.offer(said_words(made), undo)

    def _close(self, one: ModelFileDocument) -> None:
        self._place.clear()
        show_if(self._place, False)
        show_if(self._whole, True)
        ui.run_javascript(f"easel.refocus('{row_id(one.folder, one.name)}')")

    def _once(self, handler: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Decorate a handler: a second click while the first is answered does nothing."""

        async def once() -> None:
            if not self._is_busy:
                self._is_busy = True
                try:
                    await handler()
                finally:
                    self._is_busy = False

        return errors_as_toasts(once)


def _draws(one: ModelFileDocument) -> bool:
    return one.folder in ("checkpoints", "diffusion_models")
