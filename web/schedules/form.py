"""The form of a schedule, new or changed: when it fires, and which batch it starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from nicegui import ui

from api.errors import ProblemError
from api.options import OptionsDocument
from api.schedules.documents import ScheduleDocument
from api.schedules.facade import ScheduleRequest, Times, times_of
from api.workflows.documents import WorkflowDocument
from core.batches.lists import Lists
from core.batches.request import COUNT_MAX
from core.wording import model_name
from core.workflows.declaration import Workflow
from web.batches.wording import plural
from web.forms.batch_drafts import EditedSchedule, ScheduleDraft
from web.forms.callback import CallbackField
from web.forms.inputs_grid import InputsGrid
from web.forms.mistakes import missing
from web.forms.more_values import MoreValues
from web.forms.prompts import PromptField
from web.forms.schedule_again import DAYS, EVERY_MAX
from web.forms.workflow_choice import WorkflowPicker
from web.forms.workflow_switch import WorkflowSwitch
from web.parts.clock import cron_words, every_words, known_zone, moments_words, zones
from web.parts.elements import Text, adorn, box, button, icon, show_if
from web.parts.fields import Fields, Picker, Segments, choice, enter_chooses, line, number
from web.parts.layout import Web, errors_as_toasts

_WAYS: Final = {"clock": "At a time", "every": "Repeating", "cron": "Cron"}
_UNITS: Final = {"minutes": "minutes", "hours": "hours"}


class ScheduleForm:
    """Shows the visitor's draft and changes it."""

    def __init__(self, web: Web, on_create: Callable[[], Awaitable[None]]) -> None:
        self._of = WorkflowSwitch(web, ScheduleDraft.load(), self._rebuild)
        self.editing: ScheduleDocument | None = None
        self._inputs: InputsGrid | None = None
        self._on_create = on_create
        self._options: OptionsDocument | None = None
        self._lists: Lists | None = None
        self._names: tuple[str, ...] = ()
        self._root = ui.context.slot.parent
        self._build()

    @property
    def draft(self) -> ScheduleDraft:
        """What is shown."""
        return self._of.draft

    def _build(self) -> None:
        draft = self.draft
        self._fields = fields = Fields()
        with box("form-fields"):
            new = "New schedule" if self.editing is None else f"Change “{self.editing.name}”"
            adorn(Text(new, "side-title", "h2"), dir="auto")
            self._picker = WorkflowPicker(self._choose_workflow)
            self._picker.offer(self._of.known, self._of.workflow.name)
            self._name = line("Name", draft.name, self._setter("name"), maxlength=100)
            adorn(fields.add("name", self._name), disable=self.editing is not None)
            self._build_when()
            self._rows = box("way")
            with box("pair"):
                self._count = number("", draft.count, self._setter("count"), 1, COUNT_MAX)
                fields.add("count", self._count)
                until = line(
                    "Stop starting at", draft.not_after, self._setter("not_after"), type="time"
                )
                fields.add("not_after", until)
            self._callback = CallbackField(draft.callback, self._setter("callback"))
            fields.add("callback", self._callback.field)
        self._build_rows()
        with box("generate-bar bulk-bar"), box("bulk-buttons"):
            if self.editing is not None:
                button("Cancel", errors_as_toasts(self.stop_editing))
            made = box("btn btn-primary", "button", type="button", data_generate="")
            made.on("click", self._on_create, args=[])
            with made:
                icon("clock")
                Text("Create schedule" if self.editing is None else "Save changes")
        self._save = made
        self._show()

    def _build_rows(self) -> None:
        """Build what depends on the workflow."""
        self._rows.clear()
        with self._rows:
            self._build_inputs()
        adorn(self._count, label=self._count_label())
        self._offer_models({})

    def _build_inputs(self) -> None:
        """Build what the batch has: the prompt and the model of txt2img, or another's inputs."""
        self._inputs, self._model, self._row_fields = None, None, Fields()
        self._more: MoreValues | None = None
        if self.other_workflow is not None:
            offered = self._of.offered
            self._inputs = InputsGrid(self.draft, self.other_workflow, offered, self._set)
            self._prompt = self._inputs.prompt
            return
        self._prompt = PromptField(self.draft, self._row_fields, self._set)
        self._model = choice("Model", {}, None, self._setter("model"), searched=True)
        self._models = Picker(self._row_fields.add("model", self._model))
        own = ("prompt", "model")
        self._more = MoreValues(self.draft, self._of.workflow, own, self._set)
        self._more.offer(self._of.own_offered)

    def _count_label(self) -> str:
        several = plural(self._of.workflow.kind)
        named = f"{several[:1].upper()}{several[1:]}"
        return f"{named} per prompt" if self._prompt is not None else f"{named} each time"

    def _build_when(self) -> None:
        draft, add = self.draft, self._fields.add
        with box("field"):
            Text("When", "label")
            Segments("When", _WAYS, draft.way, self._setter("way"))
        with box("pair") as self._by_clock:
            choice("Days", DAYS, draft.days, self._setter("days"))
            add("time", line("Time", draft.time, self._setter("time"), type="time"))
        with box("pair") as self._by_interval:
            every = number("Every", draft.every, self._setter("every"), 1, EVERY_MAX)
            add("interval_s", every)
            choice("Unit", _UNITS, draft.unit, self._setter("unit"))
        with box("") as self._by_cron:
            field = line("Cron", draft.cron, self._setter("cron"), maxlength=200)
            adorn(add("cron", field), hint="minute, hour, day, month, weekday")
        self._zone = choice("Time zone", [], None, self._setter("timezone"), searched=True)
        add("timezone", enter_chooses(self._zone)).on("focus", self._offer_zones, args=[])
        self._said = adorn(Text("", "when-said", "p"), aria_live="polite")

    def offer(self, options: OptionsDocument) -> None:
        """Fill the model picker."""
        self._options = options
        if self._model is None:
            return
        names = {model.name: model_name(model.name) for model in options.models}
        self._offer_models(names)
        adorn(self._model, placeholder=model_name(options.default_model or "") or None)

    def offer_lists(self, lists: Lists) -> None:
        """Show the existing wildcard lists."""
        self._lists = lists
        if self._prompt is not None:
            self._prompt.offer(lists)

    def offer_callbacks(self, names: Sequence[str]) -> None:
        """Show the names of the stored callbacks."""
        self._names = tuple(names)
        self._callback.offer(self._names, self.draft.callback)

    def belongs_to(self, tab: str) -> None:
        """Show what this tab had in its form; what is shown is this tab's from now on."""
        self._of.belongs_to(tab)

    # --- the workflow, and a schedule that is changed

    async def start(self) -> None:
        """Offer the workflows that there are, and show the form of the chosen one."""
        await self._of.start()
        if self._more is not None:
            self._more.offer(self._of.own_offered)
        self._picker.offer(self._of.known, self._of.workflow.name)

    @property
    def workflows(self) -> dict[str, WorkflowDocument]:
        """The workflows that there were when the page was opened."""
        return {one.name: one for one in self._of.known}

    @property
    def workflow(self) -> Workflow:
        """The workflow that it is for."""
        return self._of.workflow

    @property
    def other_workflow(self) -> Workflow | None:
        """The workflow, if it is another one than txt2img."""
        return self._of.other

    def request(self, zone: str | None) -> ScheduleRequest:
        """Returns the request. Raises ProblemError, ValidationError."""
        has_name = bool(self.draft.name.strip())
        rows = self._inputs.rows() if self._inputs is not None and has_name else None
        if self._more is not None:
            self._more.check()
        return self.draft.request(zone, rows)

    async def edit(self, document: ScheduleDocument, draft: EditedSchedule) -> None:
        """Show a schedule that exists, to change it; the form of a new one stays kept."""
        await self._switch(draft, document)

    async def stop_editing(self) -> None:
        """Show the form of a new schedule again."""
        await self._switch(ScheduleDraft.load(), None)

    async def _switch(self, draft: ScheduleDraft, editing: ScheduleDocument | None) -> None:
        """Until the form of another one is shown, what is entered and saved is of this one."""
        if await self._of.switch(draft):
            self.editing = editing
            self._rebuild(True)

    async def _choose_workflow(self, name: str) -> None:
        await self._of.choose(name)

    def _rebuild(self, whole: bool) -> None:
        if whole:
            self._root.clear()
            with self._root:
                self._build()
            self.offer_callbacks(self._names)
        else:
            self._build_rows()
            self._picker.show(self._of.workflow.name)
        if self._options is not None:
            self.offer(self._options)
        if self._lists is not None:
            self.offer_lists(self._lists)

    def busy(self, is_busy: bool) -> None:
        """Disable the button while the server works, so that nothing is pressed twice."""
        adorn(self._save, disabled=is_busy)

    def refuse(self, mistakes: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field."""
        left = self._row_fields.refuse(self._fields.refuse(mistakes))
        if self._more is not None:
            return self._more.refuse(left)
        return left if self._inputs is None else self._inputs.refuse(left)

    def created(self) -> None:
        """Clear the name after a create: the next schedule needs another one."""
        self._name.value = ""

    def show_zone(self) -> None:
        """Show the visitor's time zone, now that it is known."""
        self._show()

    # --- the draft

    def _setter(self, name: str) -> Callable[[Any], Any]:
        return lambda value: self._set(**{name: value})

    def _set(self, **values: Any) -> None:
        if self.draft.change(**values):
            self._show()

    def _show(self) -> None:
        draft = self.draft
        shown = {"clock": self._by_clock, "every": self._by_interval, "cron": self._by_cron}
        for way, made in shown.items():
            show_if(made, way == draft.way)
        self._said.text = self._words()
        if not self._zone.options:
            self._zone.set_options(self._with_chosen([]), value=self._zone_now())

    def _words(self) -> str:
        """Returns the form's times in words, and when the schedule fires next."""
        try:
            times = self.times()
        except ProblemError as error:
            return error.problem.detail
        if times.cron is None:
            return f"{every_words(times.interval_s or 0)}, counted from when it is created."
        ahead = moments_words(times.next_runs, known_zone(), datetime.now(UTC))
        return f"{cron_words(times.cron)} ({times.timezone}). Next: {ahead}."

    def times(self) -> Times:
        """Returns when it fires. ProblemError when the form has no valid time."""
        cron, interval_s = self.draft.cron_text(), self.draft.interval_s()
        try:
            return times_of(cron, interval_s, self._zone_now() or "UTC", shown=2)
        except ProblemError as error:
            raise missing("cron", error.problem.detail) from error

    # --- pickers

    def _offer_models(self, names: dict[str, str]) -> None:
        if self._model is None:
            return
        chosen = self.draft.model
        if chosen is not None:
            names = {chosen: model_name(chosen), **names}
        self._models.offer(names, chosen)

    def _zone_now(self) -> str | None:
        return self.draft.timezone or known_zone()

    def _with_chosen(self, offered: Iterable[str]) -> list[str]:
        chosen = self._zone_now()
        return list(dict.fromkeys([*offered, *([chosen] if chosen else [])]))

    def _offer_zones(self) -> None:
        """Time zones are many: they are sent only to visitors who search one."""
        if len(self._zone.options) < 10:
            self._zone.set_options(self._with_chosen(zones()), value=self._zone_now())
