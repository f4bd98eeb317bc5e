"""The bulk page: the form of a batch, and the existing batches."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from nicegui import ui
from pydantic import ValidationError

from api.errors import ProblemError
from core.settings import Settings
from store.errors import StoreError
from web.batches.form import BulkForm
from web.batches.list import BatchList
from web.batches.plan import PlanPanel
from web.forms import batch_drafts
from web.forms.batch_drafts import BulkDraft
from web.forms.manifests import Manifests
from web.forms.mistakes import mistakes_of
from web.forms.options import offer_options
from web.parts.clock import ask_zone, known_zone
from web.parts.elements import Text, adorn, box
from web.parts.layout import Frame, Web, errors_as_toasts, section, toast, toast_error

LOOK_EVERY_S: Final = 2.0
_SELDOM: Final = 5
"""Every this many looks the whole list is read: other clients may have created batches."""
_log = logging.getLogger(__name__)


def manifests_of(settings: Settings) -> Manifests:
    """Returns the folder of the files that visitors chose."""
    return Manifests(settings.home / "manifests", settings.api.max_manifest_bytes)


class BulkPage:
    """One open bulk page."""

    def __init__(self, web: Web, cursor: str | None) -> None:
        self._web = web
        self._files = manifests_of(web.settings)
        self._looks = 0
        self._busy = False
        self._frame = Frame(web, "Bulk", self._look)
        with box("desk"):
            adorn(Text("Bulk", "sr-only", "h1"))
            with section("form desk-form", "A new batch"):
                self._form = BulkForm(
                    web,
                    self._files,
                    errors_as_toasts(self._dry_run),
                    errors_as_toasts(self._start),
                    self._changed,
                )
                self._frame.on_tab(self._form.belongs_to)
            with section("desk-side", "Batches"):
                self._plan = PlanPanel()
                self._list = BatchList(web, cursor)

    async def start(self) -> None:
        """Load the page, then refresh it repeatedly."""
        await self._form.start()
        await offer_options(self._web.facade, self._form.offer)
        self._form.offer_lists(await self._web.batches.lists())
        self._form.offer_callbacks(await self._web.facade.callback_names())
        self._frame.start()
        if (replaced := BulkDraft.take_replaced()) is not None:
            self._offer_back(replaced)
        ask_zone(self._form.show_zone)
        ui.timer(LOOK_EVERY_S, self._look)

    async def _look(self) -> None:
        whole = self._looks % _SELDOM == 0
        self._looks += 1
        try:
            await (self._list.load() if whole else self._list.look())
        except StoreError as error:
            _log.warning("refreshing the list of batches failed; retrying: %s", error)

    # --- what the visitor does

    def _offer_back(self, before: BulkDraft) -> None:
        """Say that the form has a batch's settings now, and offer those that it had."""

        async def put_back() -> None:
            self._plan.hide()  # it is of the other form
            self._form.put_back(before)

        self._frame.offer("The settings are in the form", put_back)

    def _changed(self, names: Collection[str]) -> None:
        """Problems stay shown to be fixed, but not those of another file."""
        if self._plan.plan is not None or "file" in names:
            self._plan.hide()

    async def _dry_run(self) -> None:
        await self._work("Checking…", self._form.draft, start=False)

    async def _start(self) -> None:
        await self._work("Starting…", self._form.draft, start=True)

    async def _work(self, label: str, draft: BulkDraft, *, start: bool) -> None:
        if self._busy:
            return
        self._busy = True
        self._form.busy(label)
        try:
            await (self._begin(draft) if start else self._look_ahead(draft))
        except (ProblemError, ValidationError) as error:
            self._refuse(error, of_file=draft.way == "file")
        finally:
            self._busy = False
            self._form.busy(None)

    def _refuse(self, error: ProblemError | ValidationError, *, of_file: bool) -> None:
        """Say what is wrong at the fields; what has none, in the panel or a toast."""
        of_rows = isinstance(error, ProblemError) and error.problem.code == "invalid_manifest"
        if isinstance(error, ProblemError) and of_rows and of_file:
            self._plan.refuse(error.problem, rows=True)
            return
        mistakes = mistakes_of(error, self._form.workflow)
        rest = self._form.refuse(mistakes, rows=isinstance(error, ProblemError))
        if isinstance(error, ProblemError) and of_rows and rest:
            self._plan.refuse(error.problem, rows=False)
            return
        self._plan.hide()
        for text in rest.values():
            toast_error(text)

    async def _look_ahead(self, draft: BulkDraft) -> None:
        before = draft.model_copy(deep=True)
        plan = await self._web.batches.plan(self._form.manifest(known_zone()))
        if self._form.draft == before:
            self._plan.show(plan, self._form.kind, self._form.labels)
        else:
            toast("The form has changed meanwhile: press Preview again.")

    async def _begin(self, draft: BulkDraft) -> None:
        """Create the batch that the preview showed: with the same seed."""
        plan = self._plan.plan
        manifest = self._form.manifest(known_zone(), plan.seed if plan else None)
        created = await self._web.batches.create(manifest)
        batch_id = created.document.batch_id
        batch_drafts.remember(str(batch_id), draft)
        ui.navigate.to(f"/b/{batch_id}")
