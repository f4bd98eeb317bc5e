"""The schedules that Prefect keeps, and the form of a new one."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from nicegui import ui
from pydantic import ValidationError

from api.errors import ProblemError
from api.schedules.documents import ScheduleDocument
from api.schedules.facade import ScheduleChange, ScheduleRequest
from store.values import Batch
from web.batches.wording import workflow_of
from web.forms.mistakes import mistakes_of
from web.forms.options import offer_options
from web.forms.schedule_again import edited_draft_of
from web.parts.clock import ask_zone, known_zone
from web.parts.confirm import Ask
from web.parts.elements import Text, adorn, box, button
from web.parts.layout import Frame, Web, errors_as_toasts, section, toast, toast_error
from web.parts.wording import sentence
from web.schedules.form import ScheduleForm
from web.schedules.list import ScheduleActions, ScheduleRow

BEGUN_SHOWN: Final = 3
_BATCHES_READ: Final = 100


class SchedulesPage:
    """One open page of schedules."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._frame = Frame(web, "Schedules", self._load)
        self._ask = Ask()
        self._rows: dict[UUID, ScheduleRow] = {}
        self._turn = asyncio.Lock()
        self._busy = False
        with box("desk is-list-first"):
            adorn(Text("Schedules", "sr-only", "h1"))
            with section("form desk-form", "A new schedule"):
                self._form = ScheduleForm(web, errors_as_toasts(self._save))
                self._frame.on_tab(self._form.belongs_to)
            with section("desk-side", "Schedules"):
                with box("side-head"):
                    Text("Schedules", "side-title", "h2")
                    self._said = adorn(Text("Asking Prefect…", "muted small"), role="status")
                self._list = box("schedule-list", "ul")
                self._rest = box("side-rest")

    async def start(self) -> None:
        """Show the form first; Prefect may answer slowly."""
        await self._form.start()
        await offer_options(self._web.facade, self._form.offer)
        self._form.offer_lists(await self._web.batches.lists())
        self._form.offer_callbacks(await self._web.facade.callback_names())
        self._frame.start()
        ask_zone(self._zone_known)
        ui.timer(0, errors_as_toasts(self._load), once=True)

    def _zone_known(self) -> None:
        self._form.show_zone()
        for row in self._rows.values():
            row.show(row.document)

    # --- reading

    async def _load(self) -> None:
        async with self._turn:  # one at a time: an older result is never shown over a newer one
            await self._read_and_show()

    async def _read_and_show(self) -> None:
        try:
            documents = (await self._web.schedules.all()).items
        except ProblemError as error:
            self._say_away(error.problem.detail)
            return
        begun = await self._begun()
        self._said.text = ""
        self._list.clear()
        self._rest.clear()
        actions = ScheduleActions(
            errors_as_toasts(self._switch),
            errors_as_toasts(self._edit),
            errors_as_toasts(self._delete),
        )
        known = self._form.workflows
        with self._list:
            self._rows = {
                document.schedule_id: ScheduleRow(
                    document, begun.get(document.name, []), actions, known
                )
                for document in documents
            }
        if not documents:
            with self._rest:
                _build_empty()

    async def _begun(self) -> dict[str, list[Batch]]:
        """Returns the last batches of each schedule, newest first."""
        found: dict[str, list[Batch]] = {}
        for batch in await self._web.batches.newest(_BATCHES_READ):
            mine = found.setdefault(batch.schedule or "", [])
            if len(mine) < BEGUN_SHOWN:
                mine.append(batch)
        return found

    def _say_away(self, detail: str) -> None:
        self._said.text = ""
        self._list.clear()
        self._rest.clear()
        with self._rest, box("empty"):
            Text("Prefect isn't answering", "empty-title", "h3")
            Text(sentence(detail), "muted", "p")
            again = button("Try again", icon_name="retry", classes="btn-primary")
            again.on("click", errors_as_toasts(self._load_again), args=[])

    async def _load_again(self) -> None:
        self._said.text = "Asking Prefect…"
        await self._load()

    # --- what the visitor does

    async def _save(self) -> None:
        if self._busy:
            return
        self._busy = True
        self._form.busy(True)
        try:
            await self._save_now()
        finally:
            self._busy = False
            self._form.busy(False)

    async def _save_now(self) -> None:
        editing = self._form.editing
        try:
            self._form.times()  # its errors about times use the form's words
            asked = self._form.request(known_zone())
            if editing is None:
                made = await self._web.schedules.create(asked)
            else:
                await self._web.schedules.change(editing.schedule_id, _change(editing, asked))
        except (ProblemError, ValidationError) as error:
            mistakes = mistakes_of(error, self._form.workflow)
            for text in self._form.refuse(mistakes).values():
                toast_error(text)
            return
        if editing is None:
            if self._form.editing is None:
                self._form.created()
            toast(f"“{made.name}” is created and on.")
        else:
            if self._form.editing is editing:
                await self._form.stop_editing()
            toast(f"“{editing.name}” is changed.")
        await self._load()

    async def _edit(self, document: ScheduleDocument) -> None:
        """Put a schedule into the form, if the form can say it."""
        workflow = await self._web.facade.workflow(workflow_of(document.batch))
        draft = edited_draft_of(document, workflow) if workflow is not None else None
        if draft is None:
            toast_error(
                "The form cannot show all of this schedule. Change it with the API, or in Prefect."
            )
            return
        await self._form.edit(document, draft)
        ui.run_javascript("easel.toForm()")

    async def _switch(self, document: ScheduleDocument, active: bool) -> None:
        schedule_id = document.schedule_id
        async with self._turn:
            changed = await self._web.schedules.change(schedule_id, ScheduleChange(active=active))
            if schedule_id in self._rows:
                self._rows[schedule_id].show(changed)

    async def _delete(self, document: ScheduleDocument) -> None:
        async def delete() -> None:
            await self._delete_now(document.schedule_id)

        self._ask.about(
            f"Delete “{document.name}”?",
            "It won't start any more batches. Those it has started, and their images, stay.",
            "Delete schedule",
            errors_as_toasts(delete),
        )

    async def _delete_now(self, schedule_id: UUID) -> None:
        await self._web.schedules.delete(schedule_id)
        await self._load()


def _change(now: ScheduleDocument, asked: ScheduleRequest) -> ScheduleChange:
    """Returns what differs of its times, and the batch: an interval counts from its change."""
    same = (asked.cron, asked.interval_s) == (now.cron, now.interval_s)
    return ScheduleChange(
        cron=None if same else asked.cron,
        interval_s=None if same else asked.interval_s,
        timezone=None if asked.timezone == now.timezone else asked.timezone,
        batch=asked.batch,
    )


def _build_empty() -> None:
    with box("empty"):
        box("empty-mark", aria_hidden="true")
        Text("No schedules yet", "empty-title", "h3")
        Text("Choose a time and a prompt, and images are generated while you sleep.", "muted", "p")
