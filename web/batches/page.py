"""One batch, linkable: its progress, its images as they arrive, failures and actions."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from typing import Final

from nicegui import ui

from api.batches.documents import BatchDocument
from core.batches.request import BatchOptions
from core.ids import parse_generation_id
from core.requests import DEFAULT_WORKFLOW
from core.workflows.declaration import Workflow
from store.errors import NotFoundError, StoreError
from store.values import Generation
from web.batches.contact import Contact, View
from web.batches.failures import Failures
from web.batches.head import BatchActions, BatchHead, build_facts
from web.batches.wording import counted, is_active, plural, under_way
from web.forms import batch_drafts
from web.forms.batch_again import ITEMS_READ, draft_of, workflow_draft_of
from web.forms.batch_drafts import BulkDraft
from web.parts.callbacks import LOOK_EVERY_S as LOOK_AT_CALLBACKS_EVERY_S
from web.parts.callbacks import Callbacks
from web.parts.clock import ask_zone
from web.parts.confirm import Ask
from web.parts.elements import Text, box, link
from web.parts.layout import Frame, Web, errors_as_toasts, toast_error
from web.parts.live import Live

LOOK_EVERY_S: Final = 0.5
"""Minimum seconds between two updates of the page."""
_SLOWLY: Final = 4
"""Every this many looks the batch's row is read, whether its generations changed or not."""
_REST: Final = 4.0
"""Each look is followed by a rest of this many times its own duration."""
_log = logging.getLogger(__name__)


class BatchPage:
    """One open page of a batch."""

    def __init__(self, web: Web, batch_id: str, view: View) -> None:
        self._web = web
        self._id = parse_generation_id(batch_id)
        self._document: BatchDocument | None = None
        self._workflow: Workflow | None = None
        self._stale = False
        self._looks = 0
        self._rest_until = 0.0
        self._live = Live(web.facade)
        self._frame = Frame(web, "Bulk", self._refresh)
        with box("batch") as self._root:
            if self._id is not None:
                self._ask = Ask()
                self._head = BatchHead(self._actions())
                self._failures = Failures(web, self._id)
                self._contact = Contact(web, self._id, view)

    def _actions(self) -> BatchActions:
        return BatchActions(
            pause=errors_as_toasts(self._pause),
            resume=errors_as_toasts(self._resume),
            cancel=errors_as_toasts(self._cancel),
            retry_failed=errors_as_toasts(self._retry_failed),
            again=errors_as_toasts(self._again),
        )

    async def start(self) -> None:
        """Load it, then follow it."""
        document = await self._read()
        if document is None:
            self._say_gone()
            return
        ui.page_title(f"{document.name} · Easel")
        self._workflow = await self._web.facade.workflow(_workflow_name(document))
        self._head.kind = self._workflow.kind if self._workflow is not None else None
        await self._show(document)
        await self._contact.begin(document)
        own = [] if document.callback is None else [document.callback]
        callbacks = Callbacks(self._web.deliveries, own, batch_id=document.batch_id)
        await callbacks.read()
        with self._root:
            callbacks.build()
            build_facts(document)
        self._frame.start()
        self._live.start(self._changed)
        ui.timer(LOOK_EVERY_S, self._look, immediate=False)
        if own:
            ask_zone(callbacks.show)
            ui.timer(LOOK_AT_CALLBACKS_EVERY_S, callbacks.look, immediate=False)

    # --- reading

    async def _read(self) -> BatchDocument | None:
        if self._id is None:
            return None
        try:
            return await self._web.batches.status(self._id)
        except NotFoundError:
            return None

    async def _show(self, document: BatchDocument) -> None:
        self._document = document
        self._head.show(document)
        self._contact.describe(document)
        await self._failures.show(document.counts.failed)

    def _say_gone(self) -> None:
        ui.page_title("Not found · Easel")
        self._root.clear()
        with self._root, box("empty"):
            Text("There is no such batch", "empty-title", "h1")
            Text(
                "The link may be incomplete, or the batch was removed because of its age. "
                "Its images may still be in the history.",
                "muted",
                "p",
            )
            with box("row"):
                link("To all batches", "/bulk", classes="btn-primary")
                link("To the history", "/history")

    async def _changed(self, generation: Generation) -> None:
        if generation.batch_id == self._id:
            self._stale = True
            self._contact.hear(generation)

    async def _look(self) -> None:
        """Update the page. However long that takes, most of the time is left to other pages."""
        begun = time.monotonic()
        if begun < self._rest_until:
            return
        await self._look_now()
        self._rest_until = time.monotonic() + _REST * (time.monotonic() - begun)

    async def _look_now(self) -> None:
        self._looks += 1
        slowly = self._looks % _SLOWLY == 0
        try:
            if self._stale or (slowly and self._document and is_active(self._document)):
                await self._refresh()
            await self._contact.catch_up()
            if slowly:
                await self._contact.look_again()
        except StoreError as error:
            _log.warning("refreshing the page of batch %s failed; retrying: %s", self._id, error)

    async def _refresh(self) -> None:
        self._stale = False
        document = await self._read()
        if document is not None:
            await self._show(document)

    # --- what the visitor does

    async def _pause(self) -> None:
        await self._do(self._web.batches.pause(self._known().batch_id))

    async def _resume(self) -> None:
        await self._do(self._web.batches.resume(self._known().batch_id))

    async def _retry_failed(self) -> None:
        await self._do(self._web.batches.retry_failed(self._known().batch_id))

    async def _cancel(self) -> None:
        document = self._known()
        stopped = under_way(document.counts) + document.counts.waiting
        kind = self._head.kind
        self._ask.about(
            "Cancel this batch?",
            f"{counted(stopped, kind)} will not be generated. Finished {plural(kind)} are kept.",
            "Cancel the batch",
            errors_as_toasts(self._cancel_now),
            no="Keep running",
        )

    async def _cancel_now(self) -> None:
        await self._do(self._web.batches.cancel(self._known().batch_id))

    async def _do(self, change: Awaitable[BatchDocument]) -> None:
        await self._show(await change)
        self._stale = True

    async def _again(self) -> None:
        """Put its settings into the form: as they were written here, else as they are stored."""
        document = self._known()
        draft = batch_drafts.begun_with(str(document.batch_id)) or await self._stored(document)
        if draft is None:
            toast_error(
                "The form cannot show these rows. If they came from a file, choose it in Bulk."
            )
            return
        before = BulkDraft.load()
        if before.is_begun:
            before.keep_replaced()
        draft.belongs_to_this_tab()
        draft.save()
        ui.navigate.to("/bulk")

    async def _stored(self, document: BatchDocument) -> BulkDraft | None:
        if not isinstance(document.options, BatchOptions) or document.total > ITEMS_READ:
            return None
        page = await self._web.batches.item_page(document.batch_id, ITEMS_READ, None)
        requests = [item.request for item in page.items]
        if _workflow_name(document) == DEFAULT_WORKFLOW:
            return draft_of(document.options, requests, document.callback)
        if self._workflow is None:
            return None
        return workflow_draft_of(self._workflow, document.options, requests, document.callback)

    def _known(self) -> BatchDocument:
        assert self._document is not None  # without it there are no buttons
        return self._document


def _workflow_name(document: BatchDocument) -> str:
    options = document.options
    return (options.workflow if isinstance(options, BatchOptions) else None) or DEFAULT_WORKFLOW
