"""The history: every generation, a page at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from nicegui import ui

from api.generations.documents import HistoryItem
from api.options import read_options
from core.wording import model_name
from store.errors import InvalidCursorError
from store.values import Generation
from web.forms.onward import Onward, go_with, take_along
from web.history.gallery import Gallery, main_of
from web.history.view import DAYS, KINDS, Q_MAX, View
from web.parts.elements import Text, adorn, box, button, link, show_if
from web.parts.fields import CHEVRON, CLEAR, Picker
from web.parts.layout import Frame, Web, errors_as_toasts, toast_error
from web.parts.live import Live
from web.parts.wording import STATUS_WORDS

PAGE: Final = 48
"""Generations on one page."""


class HistoryPage:
    """One open history page."""

    def __init__(self, web: Web, view: View) -> None:
        self._web = web
        self._view = view
        self._picked: set[UUID] = set()
        self._items: dict[UUID, HistoryItem] = {}
        self._onward = Onward(web, take_along, go_with)
        self._next: str | None = None
        self._previous: str | None = None
        self._loads = 0
        self._live = Live(web.facade)
        self._frame = Frame(web, "History", self._load)
        with box("history"):
            adorn(Text("History", "sr-only", "h1"))
            self._build_toolbar()
            self._gallery = Gallery(self._pick, self._onward.has_use, errors_as_toasts(self._use))
            self._rest = box("grid-rest")
            self._build_pager()

    async def start(self) -> None:
        """Load the page, then follow its running generations."""
        await self._offer_models()
        await self._onward.load()
        await self._load()
        self._frame.start()
        self._live.start(self._changed)

    # --- toolbar

    def _build_toolbar(self) -> None:
        view = self._view
        with box("toolbar", role="search", aria_label="Search the history"):
            search = ui.input(placeholder="Search prompts, models, seeds, batches", value=view.q)
            search.props(
                f"outlined dense clearable debounce=200 maxlength={Q_MAX} "
                "aria-label='Search the history'"
            )
            adorn(search, data_focus="/", dir="auto", clear_icon=CLEAR)
            search.classes("search").on_value_change(lambda e: self._change(q=e.value or ""))
            kinds = {"": "Any kind", **{name: shown for name, (shown, _) in KINDS.items()}}
            self._select("Kind", kinds, view.kind, "kind")
            self._select("Status", {"": "Any status", **STATUS_WORDS}, view.status, "status")
            model = self._select("Model", {"": "Any model"}, None, "model", searched=True)
            self._models = Picker(model)
            self._select("Date", DAYS, view.days, "days")
            box("grow")
            self._selection = box("selection is-away")
            with self._selection:
                self._selected = adorn(Text("", "muted"), role="status")
                button("Clear", self._clear_picked, classes="btn-quiet")
                use = button("Use as…", icon_name="onward", classes="is-away")
                use.on("click", errors_as_toasts(self._use_picked), args=[])
                self._use_button = use
                button("Delete", errors_as_toasts(self._delete), icon_name="trash", key="Delete")

    def _select(
        self,
        label: str,
        options: dict[Any, str],
        value: Any,
        name: str,
        *,
        searched: bool = False,
    ) -> ui.select:
        made = ui.select(options, value=value or next(iter(options)), with_input=searched)
        made.props("outlined dense options-dense behavior=menu")
        adorn(made, aria_label=label, dropdown_icon=CHEVRON)
        made.classes("filter")

        async def chosen() -> None:
            await self._change(**{name: made.value or (0 if name == "days" else None)})

        return made.on_value_change(chosen)

    async def _offer_models(self) -> None:
        names = {"": "Any model"}
        if self._web.facade.catalogue.current is not None:
            options = await read_options(self._web.facade)
            names |= {model.name: model_name(model.name) for model in options.models}
        if self._view.model:
            names.setdefault(self._view.model, model_name(self._view.model))
        self._models.offer(names, self._view.model or "")

    def _build_pager(self) -> None:
        with box("pager", "nav", aria_label="Pages of the history"):
            self._first = button("Newest", errors_as_toasts(self._to_first), icon_name="first")
            self._newer = button(
                "Newer", errors_as_toasts(self._to_newer), icon_name="left", key="ArrowLeft"
            )
            self._older = button(
                "Older", errors_as_toasts(self._to_older), key="ArrowRight", icon_name="right"
            )
            self._older.classes("is-reversed")

    # --- reading

    async def _change(self, **values: Any) -> None:
        changed = replace(self._view, **values)
        if changed == self._view:
            return
        await self._show(replace(changed, cursor=None))

    async def _show(self, view: View) -> None:
        self._view = view
        ui.navigate.history.replace(view.url)
        await self._load()

    async def _load(self) -> None:
        view, facade = self._view, self._web.facade
        self._loads = load = self._loads + 1
        try:
            page = await facade.history(view.wanted(), PAGE, view.cursor)
        except InvalidCursorError:
            if load == self._loads:
                toast_error("That page does not exist any more; these are the newest.")
                await self._show(replace(view, cursor=None))
            return
        if load != self._loads:
            return  # a later load shows newer data
        if view.cursor is not None and page.previous_cursor is None:
            await self._show(replace(view, cursor=None))  # the newest ones are a whole page
            return
        self._next, self._previous = page.next_cursor, page.previous_cursor
        items = [item for item in page.items if item.task_id not in self._web.trash]
        self._picked &= {item.task_id for item in items}
        self._fill(items)
        self._show_picked()
        adorn(self._first, disabled=view.cursor is None)
        adorn(self._newer, disabled=view.cursor is None)
        adorn(self._older, disabled=self._next is None)

    def _fill(self, items: list[HistoryItem]) -> None:
        self._items = {item.task_id: item for item in items}
        self._gallery.show(items, self._view.query)
        self._rest.clear()
        if not items:
            with self._rest:
                self._build_empty()

    def _build_empty(self) -> None:
        with box("empty"):
            if self._view.filtered or self._view.cursor:
                Text("Nothing matches", "empty-title", "h2")
                Text("Try fewer words, or another kind, status, model or date.", "muted", "p")
                link("Show everything", "/history", classes="btn-primary")
            else:
                box("empty-mark", aria_hidden="true")
                Text("Your images will appear here", "empty-title", "h2")
                Text("Every image is kept with all its settings.", "muted", "p")
                link("Create the first one", "/", icon_name="spark", classes="btn-primary")

    async def _changed(self, generation: Generation) -> None:
        if self._gallery.status(generation.id) in (None, generation.status):
            return
        document = await self._web.facade.document(generation)
        outputs = await self._web.facade.outputs(generation.id)
        item = HistoryItem.model_construct(**dict(document), outputs=outputs, images=[])
        self._items[item.task_id] = item
        self._gallery.replace(item)
        self._show_picked()

    # --- paging

    async def _to_older(self) -> None:
        if self._next is not None:
            await self._turn(self._next)

    async def _to_newer(self) -> None:
        await self._turn(self._previous)

    async def _to_first(self) -> None:
        await self._turn(None)

    async def _turn(self, cursor: str | None) -> None:
        self._picked.clear()
        await self._show(replace(self._view, cursor=cursor))
        ui.run_javascript("window.scrollTo(0, 0)")

    # --- selecting

    def _pick(self, task_id: UUID, picked: bool) -> None:
        (self._picked.add if picked else self._picked.discard)(task_id)
        self._show_picked()

    def _clear_picked(self) -> None:
        self._picked.clear()
        self._show_picked()

    def _show_picked(self) -> None:
        self._gallery.tick(self._picked)
        self._selected.text = f"{len(self._picked)} selected"
        show_if(self._selection, self._picked)
        show_if(self._use_button, self._usable())

    # --- using what is shown

    async def _use(self, task_id: UUID) -> None:
        item = self._items.get(task_id)
        main = main_of(item) if item is not None else None
        if item is not None and main is not None:
            await self._onward.offer(main.kind, f"artefact:{main.artefact_id}", item.request)

    async def _use_picked(self) -> None:
        found = self._usable()
        if len(found) == 1:
            await self._use(found[0].task_id)
        elif found:
            mains = [main for item in found if (main := main_of(item)) is not None]
            references = [f"artefact:{main.artefact_id}" for main in mains]
            await self._onward.offer_all(references, found[0].request)

    def _usable(self) -> list[HistoryItem]:
        """Returns what is picked, in the order of the page, if all of it can be used."""
        picked = [item for key, item in self._items.items() if key in self._picked]
        mains = [main_of(item) for item in picked]
        can = self._onward.has_use if len(picked) == 1 else self._onward.has_use_with_others
        return picked if all(main is not None and can(main) for main in mains) else []

    async def _delete(self) -> None:
        gone, self._picked = tuple(self._picked), set()
        if gone:
            await self._frame.delete(gone)
