"""What all pages share: header, help sheet, toasts, undo of deletes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from nicegui import Client, ui

from api.batches.facade import BatchFacade
from api.context import Context
from api.deliveries.facade import DeliveryFacade
from api.generations.facade import Facade
from api.models.facade import ModelFacade
from api.schedules.facade import ScheduleFacade
from api.workers.facade import WorkerFacade
from api.workflows.facade import WorkflowFacade
from core.settings import Settings
from web.parts.elements import Text, adorn, box, button, icon
from web.parts.service import Service
from web.parts.trash import UNDO_S, Trash
from web.parts.wording import EXPECTED_ERRORS, explain

STATIC: Final = Path(__file__).parents[1] / "static"
STATIC_URL: Final = "/static"
_KEYS: Final = (
    ("Ctrl Enter", "Generate, from anywhere in the studio; in bulk, a preview"),
    ("↑ ↓", "In the prompt: earlier prompts"),
    ("/", "Go to the prompt, or to the search"),
    ("← →", "Newer or older image"),
    ("Z", "Zoom in and out; the wheel and two fingers do too"),
    ("V", "Vary: same settings, new seed"),
    ("A", "Reuse settings"),
    ("S", "Download"),
    ("I", "Show or hide the details"),
    ("Del", f"Delete; Undo is offered for {UNDO_S:.0f} seconds"),
    ("Esc", "Back"),
    ("?", "Show this list"),
)

_PAGES: Final = (
    ("Studio", "/"),
    ("History", "/history"),
    ("Bulk", "/bulk"),
    ("Schedules", "/schedules"),
    ("Workflows", "/workflows"),
    ("Models", "/models"),
    ("Workers", "/workers"),
)


@dataclass(frozen=True)
class Web:
    """What pages depend on. The functions exist once the application has started."""

    find_context: Callable[[], Context]
    trash: Trash

    @property
    def facade(self) -> Facade:
        """The functions that the API's routes call."""
        return self.find_context().facade

    @property
    def batches(self) -> BatchFacade:
        """The functions about batches."""
        return self.find_context().batches

    @property
    def schedules(self) -> ScheduleFacade:
        """The functions about schedules."""
        return self.find_context().schedules

    @property
    def workflows(self) -> WorkflowFacade:
        """The functions about workflows."""
        return self.find_context().workflows

    @property
    def models(self) -> ModelFacade:
        """The functions about model files."""
        return self.find_context().models

    @property
    def workers(self) -> WorkerFacade:
        """The functions about workers."""
        return self.find_context().workers

    @property
    def deliveries(self) -> DeliveryFacade:
        """The functions about what was sent to callbacks."""
        return self.find_context().deliveries

    @property
    def settings(self) -> Settings:
        """The settings that the application was started with."""
        return self.find_context().settings


class Frame:
    """The frame around a page's content."""

    def __init__(
        self,
        web: Web,
        current: str,
        refresh: Callable[[], Awaitable[None]],
        on_undo: Callable[[tuple[UUID, ...]], Awaitable[None]] | None = None,
    ) -> None:
        """``on_undo`` shows what was taken back from the trash; by default ``refresh`` does."""
        self._web = web
        self._refresh = refresh
        self._on_undo = on_undo
        self._hide: ui.timer | None = None
        self._on_tab: Callable[[str], None] | None = None
        self._client = client = ui.context.client
        client.on_connect(self._connected)
        client.on_exception(functools.partial(_say_unexpected, client))
        ui.add_head_html(_head())
        self._service = _header(current)
        _help()
        self._undo = box("undo is-away", role="status")

    def start(self) -> None:
        """Call when the page is built: offers to undo deletes of another page.

        Only now may a timer be made: with one, the page is sent as it is.
        """
        self._service.follow(self._web.find_context())
        if self._web.trash.ids:
            self._offer(self._web.trash.ids)

    async def delete(self, ids: Iterable[UUID]) -> None:
        """Hide them now and delete them some seconds later, unless undone."""
        gone = tuple(ids)
        self._web.trash.put(gone)
        self._offer(gone)
        await self._refresh()

    def on_tab(self, handler: Callable[[str], None]) -> None:
        """Call ``handler`` once it is known which of the visitor's tabs the page is in."""
        self._on_tab = handler

    def _connected(self) -> None:
        """The tab's form first: what was typed while the connection was cut is newer."""
        handler, self._on_tab = self._on_tab, None
        with self._client:
            if handler is not None and self._client.tab_id is not None:
                handler(self._client.tab_id)
            ui.run_javascript("easel.restore(); easel.toTab()")

    def offer(self, text: str, take_back: Callable[[], Awaitable[None]]) -> None:
        """Say what was done, and offer for some seconds to take it back."""

        async def taken_back() -> None:
            self._undo.classes("is-away")
            await take_back()

        self._undo.clear()
        with self._undo:
            Text(text)
            undo = button("Undo", classes="btn-link")
            undo.on("click", errors_as_toasts(taken_back), args=[])
        self._undo.classes(remove="is-away")
        if self._hide is not None:
            self._hide.cancel()
        with self._undo:
            self._hide = ui.timer(UNDO_S, lambda: self._undo.classes("is-away"), once=True)

    def _offer(self, ids: tuple[UUID, ...]) -> None:
        said = "Deleted" if len(ids) == 1 else f"{len(ids)} deleted"
        self.offer(said, functools.partial(self._take_back, ids))

    async def _take_back(self, ids: tuple[UUID, ...]) -> None:
        self._web.trash.undo(ids)
        if self._on_undo is not None:
            await self._on_undo(ids)
        else:
            await self._refresh()


def errors_as_toasts(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Decorate a handler: its expected errors become toasts, and the form stays as it is.

    It runs for the page, not for the button that was pressed: that may be gone before it ends.
    """

    @functools.wraps(handler)
    async def safe(*args: Any, **kwargs: Any) -> Any:
        with ui.context.client:
            try:
                return await handler(*args, **kwargs)
            except EXPECTED_ERRORS as error:
                toast_error(explain(error))
                return None

    return safe


def toast_error(message: str) -> None:
    """Say that something went wrong."""
    ui.notify(message, type="negative", position="top", multi_line=True, timeout=8000)


def _say_unexpected(client: Client, error: Exception) -> None:
    with client:
        toast_error(explain(error))


def toast(message: str) -> None:
    """Say that something was done."""
    ui.notify(message, position="top", timeout=2500, classes="toast")


@contextmanager
def section(classes: str, label: str) -> Iterator[ui.element]:
    """A named region."""
    made = box(classes, "section", aria_label=label)
    with made:
        yield made


@functools.cache
def _head() -> str:
    links = []
    for name in ("easel.css", "easel.js"):
        digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
        url = f"{STATIC_URL}/{name}?v={digest}"
        links.append(
            f'<link rel="stylesheet" href="{url}">'
            if name.endswith("css")
            else f'<script defer src="{url}"></script>'
        )
    links.append(
        '<meta name="theme-color" content="#faf9f7" media="(prefers-color-scheme: light)">'
    )
    links.append('<meta name="theme-color" content="#161514" media="(prefers-color-scheme: dark)">')
    return "\n".join(links)


def _header(current: str) -> Service:
    with ui.header().classes("bar").props("unelevated"):
        with box("brand", "a", href="/", aria_label="Easel, to the studio"):
            icon("easel")
            Text("Easel")
        with box("nav", "nav", aria_label="Pages"):
            for name, href in _PAGES:
                at = "page" if name == current else None
                with box("nav-link", "a", href=href, aria_current=at):
                    Text(name)
        box("grow")
        service = Service(in_title=current != "Studio")
        sheet = button("Keyboard shortcuts", icon_name="help", bare=True, key="?")
        sheet.on("click", js_handler="() => document.getElementById('help').showModal()")
    return service


def _help() -> None:
    with box("sheet", "dialog", aria_labelledby="help-title") as sheet:
        adorn(sheet, id="help")
        with box("sheet-head"):
            adorn(Text("Keyboard shortcuts", "title", "h2"), id="help-title")
            close = button("Close", icon_name="close", bare=True)
            close.on("click", js_handler="() => document.getElementById('help').close()")
        with box("keys", "dl"):
            for keys, meaning in _KEYS:
                with box("", "div"):
                    with box("", "dt"):
                        for key in keys.split():
                            Text(key, tag="kbd")
                    Text(meaning, tag="dd")
