"""The contact sheet with its controls: which items it shows, and paging."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self, get_args
from urllib.parse import urlencode
from uuid import UUID

from nicegui import ui
from starlette.datastructures import QueryParams

from api.batches.documents import BatchDocument, CountsDocument
from api.batches.tables import CELLS_MAX
from core.batches.grid import Grid
from core.status import Status
from store.errors import InvalidCursorError, StoreError
from store.values import BatchItem, Generation, HistoryFilter
from web.batches.sheet import Cell, Sheet, as_sent
from web.batches.wording import is_active, under_way
from web.parts.elements import Text, adorn, box, button, local, show_if
from web.parts.fields import Segments
from web.parts.layout import Web, errors_as_toasts, toast_error

PAGE: Final = 120
"""Items on one page."""
Order = Literal["table", "rows", "newest"]
_ORDERS: Final = {
    "table": "Table",
    "rows": "In order",
    "newest": "Newest first",
}
_SHOWN: Final[dict[str, tuple[Status, ...]]] = {
    "all": (),
    "done": ("succeeded",),
    "under-way": ("queued", "running", "cancelling"),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
}
_LABELS: Final = {
    "all": "All",
    "done": "Done",
    "under-way": "In progress",
    "failed": "Failed",
    "cancelled": "Cancelled",
}


def _order(name: str | None) -> Order | None:
    return next((known for known in get_args(Order) if known == name), None)


@dataclass(frozen=True)
class View:
    """What is shown, all of it in the URL. Without an order, the one that suits the batch."""

    show: str = "all"
    order: Order | None = None
    cursor: str | None = None

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        """Returns the view of a URL; invalid parameters are ignored."""
        show = query.get("show", "all")
        return cls(
            show=show if show in _SHOWN else "all",
            order=_order(query.get("order")),
            cursor=query.get("cursor") or None,
        )

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Returns the statuses of the items that are shown; none for all."""
        return _SHOWN[self.show]

    def newest(self, batch_id: UUID, statuses: tuple[Status, ...]) -> HistoryFilter:
        """Returns the filter of a batch's items that are shown with the newest first."""
        return HistoryFilter(status=statuses, batch_id=batch_id)

    def url(self, batch_id: UUID) -> str:
        """Returns the URL of this view of a batch."""
        query = urlencode(self._given())
        return f"/b/{batch_id}?{query}" if query else f"/b/{batch_id}"

    def within(self, batch_id: UUID) -> str:
        """Returns this view as part of the URL of a picture that was opened from it."""
        return urlencode({"batch": batch_id, **self._given()})

    def _given(self) -> dict[str, str]:
        given = {
            "show": self.show if self.show != "all" else None,
            "order": self.order,
            "cursor": self.cursor,
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class _Shown:
    """A page of cells, perhaps in tables, and the cursors of the pages before and after it."""

    cells: list[Cell]
    previous: str | None
    following: str | None
    tables: list[dict[str, Any]] = field(default_factory=list)
    is_too_large: bool = False


class Contact:
    """A page of a batch's items."""

    def __init__(self, web: Web, batch_id: UUID, view: View) -> None:
        self._web = web
        self._id = batch_id
        self._view = view
        self._order: Order = view.order or "rows"
        self._next: str | None = None
        self._previous: str | None = None
        self._news: dict[UUID, Generation] = {}
        self._others = False
        self._big: bool | None = None
        self._grid: Grid | None = None
        self.root = box("contact is-away")
        with self.root:
            with box("contact-bar"):
                with box("segments shown", role="group", aria_label="Images shown"):
                    self._buttons = {
                        name: _Kind(name, errors_as_toasts(self._show)) for name in _SHOWN
                    }
                self._to_come = Text("", "muted line")
                box("grow")
                self._orders = box("contact-order")
            self._sheet = Sheet()
            self._nothing = Text("", "muted nothing is-away", "p")
            self._build_pager()

    def _build_pager(self) -> None:
        with box("pager", "nav", aria_label="Pages of the contact sheet") as self._pager:
            self._first = button("First", errors_as_toasts(self._to_first), icon_name="first")
            self._back = button(
                "Back", errors_as_toasts(self._to_back), icon_name="left", key="ArrowLeft"
            )
            self._on = button(
                "Next", errors_as_toasts(self._to_next), icon_name="right", key="ArrowRight"
            )
            self._on.classes("is-reversed")
            self._go = ui.number(placeholder="Go to number", min=1, step=1)
            self._go.props("outlined dense").classes("go-to")
            adorn(self._go, aria_label="Go to number")
            self._go.on("keydown.enter", errors_as_toasts(self._to_number))

    # --- what is shown

    async def begin(self, document: BatchDocument) -> None:
        """Show it for the first time."""
        show_if(self.root, True)
        self._grid = document.grid
        self.describe(document)
        orders = self._offered(document)
        if self._view.order not in orders:
            self._view = replace(self._view, order=None)
        self._order = self._view.order or self._suitable(document)
        with self._orders:
            self._order_buttons = Segments(
                "Order", orders, self._order, errors_as_toasts(self._choose_order)
            )
        show_if(self._orders, len(orders) > 1)
        await self.load()

    def _offered(self, document: BatchDocument) -> dict[str, str]:
        """Returns the orders that there are for this batch."""
        offered = dict(_ORDERS)
        if document.grid is None or document.grid.size > CELLS_MAX:
            del offered["table"]
        if document.total <= PAGE:
            del offered["newest"]
        return offered

    def _suitable(self, document: BatchDocument) -> Order:
        """Returns the order that shows most of this batch."""
        offered = self._offered(document)
        if "table" in offered and document.grid is not None and document.grid.compares_settings:
            return "table"
        # The first page of a long batch is soon full.
        return "newest" if "newest" in offered and is_active(document) else "rows"

    def describe(self, document: BatchDocument) -> None:
        """Show the number of items of each kind."""
        counts = document.counts
        for name, made in self._buttons.items():
            number = document.total if name == "all" else _count(counts, name)
            made.show(number, chosen=name == self._view.show)
        self._to_come.text = f"{counts.waiting:,} to come" if counts.waiting else ""
        if self._big != (document.total > PAGE):
            self._big = document.total > PAGE
            show_if(self._go, self._big)

    async def load(self) -> None:
        """Load the page."""
        view = self._view
        self._news.clear()
        self._others = False
        try:
            if self._order == "table" and view.show == "all":
                shown = await self._read_tables(view)
            else:
                shown = await self._read(view)
        except InvalidCursorError:
            toast_error("That page does not exist any more; this is the first.")
            await self._turn(None)
            return
        if view is not self._view:
            return  # another view was requested meanwhile
        if view.cursor is not None and shown.previous is None:
            await self._go_to(replace(view, cursor=None))  # the first ones are a whole page
            return
        if shown.is_too_large:
            self._order = "rows"
            self._order_buttons.show(self._order)
            await self._go_to(replace(view, order="rows", cursor=None))
            return
        self._next, self._previous = shown.following, shown.previous
        within = replace(view, order=self._order).within(self._id)
        self._sheet.show(shown.cells, within, shown.tables)
        self._nothing.text = "" if shown.cells else "There are none."
        show_if(self._nothing, not shown.cells)
        adorn(self._first, disabled=view.cursor is None)
        adorn(self._back, disabled=view.cursor is None)
        adorn(self._on, disabled=self._next is None)
        show_if(self._pager, view.cursor is not None or self._next is not None)

    async def _read_tables(self, view: View) -> _Shown:
        """Returns a page of labelled tables."""
        page = await self._web.batches.tables(self._id, view.cursor)
        cells = await self._cells(page.items)
        return _Shown(
            cells,
            page.previous_cursor,
            page.next_cursor,
            as_sent(page.tables, {row: local(url) for row, url in page.sheets.items()}),
            is_too_large=not page.tables,
        )

    async def _cells(self, items: Sequence[BatchItem]) -> list[Cell]:
        facade = self._web.facade
        images = await facade.artefacts_of([item.generation_id for item in items])
        return [
            Cell.of_item(item, images[item.generation_id], facade.links, self._grid)
            for item in items
        ]

    async def _read(self, view: View) -> _Shown:
        """Returns a page of cells.

        Cells need no documents, which would need each queue position.
        """
        facade, statuses = self._web.facade, view.statuses
        if self._order == "newest":
            wanted = view.newest(self._id, statuses)
            found = await facade.page(wanted, PAGE, view.cursor)
            images = await facade.artefacts_of([made.id for made in found.items])
            cells = [Cell.of(made, images[made.id], facade.links) for made in found.items]
            return _Shown(cells, found.previous_cursor, found.next_cursor)
        page = await self._web.batches.item_page(self._id, PAGE, view.cursor, statuses)
        return _Shown(await self._cells(page.items), page.previous_cursor, page.next_cursor)

    # --- news

    def hear(self, generation: Generation) -> None:
        """Record a change; the next ``catch_up`` shows it."""
        if generation.id in self._sheet:
            self._news[generation.id] = generation
        self._others = True

    async def catch_up(self) -> None:
        """Show the changes of the items on this page."""
        news, self._news = self._news, {}
        facade, cells = self._web.facade, []
        done = [each.id for each in news.values() if each.status == "succeeded"]
        try:
            images = await facade.artefacts_of(done) if done else {}
        except StoreError:
            self._news = {**news, **self._news}  # shown by the next ``catch_up``
            raise
        for each in news.values():
            if each.id in self._sheet:  # the page may have changed meanwhile
                known = self._sheet[each.id]
                now = Cell.of(each, images.get(each.id, ()), facade.links)
                cells.append(replace(now, number=known.number, values=known.values))
        if cells:
            self._sheet.put(cells)

    async def look_again(self) -> None:
        """Reload the page if its items may change: not with all, in the manifest's order."""
        moves = self._order == "newest" or self._view.show != "all"
        if moves and self._others and self._view.cursor is None:
            await self.load()

    # --- what the visitor does

    async def _show(self, name: str) -> None:
        for other, made in self._buttons.items():
            made.press(other == name)
        await self._go_to(replace(self._view, show=name, cursor=None))

    async def _choose_order(self, order: Order) -> None:
        self._order = order
        await self._go_to(replace(self._view, order=order, cursor=None))

    async def _to_first(self) -> None:
        await self._turn(None)

    async def _to_back(self) -> None:
        await self._turn(self._previous)

    async def _to_next(self) -> None:
        if self._next is not None:
            await self._turn(self._next)

    async def _to_number(self) -> None:
        if self._go.value is None:
            return
        position = int(self._go.value) - 1
        self._order = "rows"
        self._order_buttons.show("rows")
        cursor = self._web.batches.cursor_of_item(position)
        for name, made in self._buttons.items():
            made.press(name == "all")
        await self._go_to(View(order="rows", cursor=cursor))
        ui.run_javascript("easel.toSheet()")

    async def _turn(self, cursor: str | None) -> None:
        order = self._order if cursor is not None else self._view.order  # a cursor is of one order
        await self._go_to(replace(self._view, cursor=cursor, order=order))
        ui.run_javascript("easel.toSheet()")

    async def _go_to(self, view: View) -> None:
        self._view = view
        ui.navigate.history.replace(view.url(self._id))
        await self.load()


class _Kind:
    """A button that shows only items of one kind, with their number."""

    def __init__(self, name: str, on_press: Callable[[str], Awaitable[Any]]) -> None:
        self.root = box("segment", "button", type="button")
        with self.root, box("segment-row", "span"):
            box(f"dot is-{name}", "span", aria_hidden="true")
            Text(_LABELS[name])
            self._number = Text("", "segment-number")

        async def pressed() -> None:
            await on_press(name)

        self.root.on("click", pressed, args=[])

    def show(self, number: int, *, chosen: bool) -> None:
        """Show the number; a kind without items is hidden."""
        self._number.text = f"{number:,}"
        show_if(self.root, number > 0 or chosen)
        self.press(chosen)

    def press(self, chosen: bool) -> None:
        """Mark whether these are shown."""
        adorn(self.root, aria_pressed=str(chosen).lower())


def _count(counts: CountsDocument, name: str) -> int:
    if name == "under-way":
        return under_way(counts)
    return int(getattr(counts, {"done": "succeeded"}.get(name, name)))
