"""The workflows that there are, and how another one is added."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

from nicegui import ui
from nicegui.elements.upload_files import FileUpload
from pydantic import ValidationError

from api.errors import ProblemError
from api.workflows.documents import (
    ImportDocument,
    LeftOut,
    MissingDocument,
    SourceDocument,
    WorkflowDocument,
)
from api.workflows.facade import etag_of
from api.workflows.files import SentFile
from api.workflows.importing import Wish
from core.uploads import shown_name
from store.errors import StoreError
from store.values import Generation
from web.parts.elements import Text, adorn, box, button, show_if
from web.parts.layout import Frame, Web, errors_as_toasts, section, toast, toast_error
from web.parts.live import Live
from web.workflows.card import CardActions, WorkflowCard, studio_url
from web.workflows.covers import Covers
from web.workflows.editor import Editor, build_bar
from web.workflows.file import build_workflow_file
from web.workflows.sources import Sources
from web.workflows.wording import refusal

LOOK_EVERY_S: Final = 2.0
"""How often it is looked whether another client, or ComfyUI, has changed what is offered."""


class WorkflowsPage:
    """One open page of workflows: their list, or in its place the editor of one."""

    def __init__(self, web: Web, covers: Covers) -> None:
        self._web = web
        self._workflows = web.workflows
        self._cards: dict[str, WorkflowCard] = {}
        self._covers = covers
        self._stale: dict[str, float] = {}
        self._stamp: object = None
        self._is_busy = False
        self._edited: str | None = None
        self._turn = asyncio.Lock()
        self._live = Live(web.facade)
        self._frame = Frame(web, "Workflows", self._load)
        with box("workflows"):
            adorn(Text("Workflows", "sr-only", "h1"))
            with box("workflows-whole guarded") as self._whole:
                self._build_adding()
                with section("workflows-list", "Workflows"):
                    Text("Workflows", "side-title", "h2")
                    self._list = box("workflow-cards", "ul")
            self._place = box("workflow-editor is-away", "section", aria_label="A workflow")

    async def start(self) -> None:
        """Show what there is, then follow what others change."""
        await self._load()
        self._frame.start()
        self._live.start(self._generated)
        ui.timer(0, errors_as_toasts(self._load_covers), once=True)
        ui.timer(LOOK_EVERY_S, self._look, immediate=False)

    def _build_adding(self) -> None:
        with section("adding", "Add a workflow"):
            Text("Add a workflow", "side-title", "h2")
            most = self._web.settings.api.max_workflow_bytes
            build_workflow_file(most, errors_as_toasts(self._came), toast_error)
            self._refused = box("note refused is-away", role="alert")
            with box("chips"):
                button(
                    "Add from this ComfyUI",
                    errors_as_toasts(self._open_sources),
                    icon_name="plus",
                )
                self._said = adorn(Text("", "muted small"), role="status")
            self._sources = Sources(self._workflows, self._picked)

    # --- the list

    async def _load(self) -> None:
        async with self._turn:  # one at a time: an older result is never shown over a newer one
            await self._read_and_show()

    async def _read_and_show(self) -> None:
        stamp = await self._workflows.stamp()  # before the rest: no later change is missed
        documents = (await self._workflows.all()).items
        lacking = [one.name for one in documents if one.state not in (None, "ready")]
        missing = {name: await self._missing(name) for name in lacking}
        for gone in self._cards.keys() - {one.name for one in documents}:
            self._cards.pop(gone).root.delete()
        for place, one in enumerate(documents):
            card = self._cards.get(one.name) or self._add_card(one.name)
            card.show(one, missing.get(one.name, MissingDocument()))
            if self._list.default_slot.children[place] is not card.root:
                card.root.move(self._list, place)
        self._stamp = stamp

    async def _missing(self, name: str) -> MissingDocument:
        with contextlib.suppress(ProblemError):  # it was removed a moment ago
            return await self._workflows.missing(name)
        return MissingDocument()

    def _add_card(self, name: str) -> WorkflowCard:
        actions = CardActions(self._edit, errors_as_toasts(self._remove))
        with self._list:
            card = self._cards[name] = WorkflowCard(actions)
        return card

    async def _look(self) -> None:
        with contextlib.suppress(StoreError):
            if self._stamp != await self._workflows.stamp():
                await self._load_changed()
            await self._load_covers(self._stale.keys() & self._cards.keys())

    async def _load_changed(self) -> None:
        before = set(self._cards)
        await self._load()
        await self._load_covers(self._cards.keys() - before)

    async def _generated(self, generation: Generation) -> None:
        request = generation.request
        if generation.status == "succeeded" and request is not None:
            self._stale[request.workflow] = time.monotonic()

    async def _load_covers(self, names: Iterable[str] | None = None) -> None:
        await asyncio.gather(*map(self._load_cover, list(self._cards if names is None else names)))

    async def _load_cover(self, name: str) -> None:
        url, looked_at = await self._covers.of(name)
        if looked_at >= self._stale.get(name, looked_at):
            self._stale.pop(name, None)
        if name in self._cards:
            self._cards[name].cover(url)

    async def _remove(self, one: WorkflowDocument) -> None:
        kept = await self._workflows.export(one.name)
        await self._workflows.hide(one.name)

        async def take_back() -> None:
            await self._workflows.add(SentFile(kept), Wish(), dry_run=False)
            await self._load_changed()

        self._frame.offer(f"“{one.title}” is removed", take_back)
        await self._load()

    # --- adding

    async def _open_sources(self) -> None:
        await self._sources.show()

    async def _picked(self, source: SourceDocument) -> None:
        await self._propose(SentFile(b"", source=source.source))

    async def _came(self, upload: FileUpload) -> None:
        await self._propose(SentFile(await upload.read(), shown_name(upload.name)))

    async def _propose(self, sent: SentFile) -> None:
        """Show what would be imported; nothing is kept yet."""
        if self._is_busy:
            toast("One is being read. Wait for it, then try again.")
            return
        show_if(self._refused, False)
        self._said.text = "Reading it…"
        with self._busy():
            try:
                made = await self._workflows.add(sent, Wish(any_name=True), dry_run=True)
            except ProblemError as error:
                self._refuse(error, is_file=sent.source is None)
                return
            finally:
                self._said.text = ""
            self._show_editor(lambda: self._build_proposal(sent, made))

    def _refuse(self, error: ProblemError, *, is_file: bool) -> None:
        why, what_to_do = refusal(error, is_file=is_file)
        self._refused.clear()
        with self._refused:
            Text("This cannot be imported", "refused-title", "h3")
            adorn(Text(why, tag="p"), dir="auto")
            if what_to_do:
                Text(what_to_do, "muted", "p")
        show_if(self._refused, True)
        ui.run_javascript("easel.toTop()")

    def _build_proposal(self, sent: SentFile, made: ImportDocument) -> Editor:
        declared = made.declaration
        editor = Editor("Add a workflow", declared, LeftOut(), is_new=True)
        editor.tell_state(declared, made.missing)
        editor.tell_import(made)

        async def add() -> None:
            added = await self._add(sent, editor)
            if added is not None:
                await self._close()
                toast(f"“{added.title}” is added.")  # from here on a press counts

        async def add_and_try() -> None:
            added = await self._add(sent, editor)
            if added is not None:
                ui.navigate.to(studio_url(added.name))

        build_bar([("Cancel", self._close, False), ("Add and try", self._once(add_and_try), False),
                   ("Add", self._once(add), True)])  # fmt: skip
        return editor

    async def _add(self, sent: SentFile, editor: Editor) -> WorkflowDocument | None:
        """Import it as the editor says. Returns None if something is wrong, which is shown."""
        try:
            wanted = editor.change()
            wish = Wish(name=editor.name)
            made = await self._workflows.add(sent, wish, dry_run=False, wanted=wanted)
        except (ProblemError, ValidationError) as error:
            editor.refuse(error)
            return None
        return made.declaration

    # --- editing

    async def _edit(self, name: str) -> None:
        async def edit() -> None:
            one = await self._workflows.get(name)
            left = await self._workflows.left_out(name)
            missing = await self._missing(name)
            self._show_editor(lambda: self._build_edit(one, left, missing), name)

        await self._once(edit)()

    def _build_edit(self, one: WorkflowDocument, left: LeftOut, missing: MissingDocument) -> Editor:
        editor = Editor(one.title, one, left, is_new=False)
        editor.tell_state(one, missing)

        async def save() -> None:
            try:
                wanted = editor.change()
                await self._workflows.change(one.name, wanted, etag_of(one.version, one.state))
            except (ProblemError, ValidationError) as error:
                if isinstance(error, ProblemError) and error.problem.code == "precondition_failed":
                    self._tell_conflict(editor, one.name)
                else:
                    editor.refuse(error)
                return
            await self._close()
            toast(f"“{wanted.title}” is saved.")  # from here on a press counts

        build_bar([("Cancel", self._close, False), ("Save", self._once(save), True)])
        return editor

    def _tell_conflict(self, editor: Editor, name: str) -> None:
        editor.place.clear()
        with editor.place, box("note conflict", role="alert"):
            Text(
                "It has been changed by someone else meanwhile, so nothing is saved. What you "
                "entered is still here: note what you need, then load the newest version.",
                tag="p",
            )
            button("Load the newest version", lambda: self._edit(name))
        ui.run_javascript("easel.toTop()")

    # --- which of both is shown

    def _show_editor(self, build: Callable[[], Editor], name: str | None = None) -> None:
        """Show the editor; ``name`` is that of a workflow which there is."""
        self._edited = name
        self._place.clear()
        with self._place:
            editor = build()
        show_if(self._whole, False)
        show_if(self._place, True)
        ui.run_javascript(f"easel.toTop(); easel.refocus('{editor.heading.html_id}')")

    async def _close(self) -> None:
        self._place.clear()
        show_if(self._place, False)
        before = set(self._cards)
        await self._load()
        show_if(self._whole, True)
        for name in self._cards.keys() - before:
            self._stale[name] = time.monotonic()  # without an await: a press on a card counts
        card = self._cards.get(self._edited or "")
        if card is not None and card.edit is not None:
            ui.run_javascript(f"easel.refocus('{card.edit.html_id}')")

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    def _once(self, handler: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Decorate a handler: a second click while the first is answered does nothing."""

        async def once() -> None:
            if not self._is_busy:
                with self._busy():
                    await handler()

        return errors_as_toasts(once)
