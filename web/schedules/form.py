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
from core.requests import DEFAULT_WORKFLOW
from core.wording import model_name
from core.workflows.declaration import Workflow
from web.batches.wording import plural
from web.forms.batch_drafts import EditedSchedule, ScheduleDraft
from web.forms.callback import CallbackField
from web.forms.inputs_grid import InputsGrid
from web.forms.mistakes import missing
from web.forms.prompts import PromptField
from web.forms.schedule_again import DAYS, EVERY_MAX
from web.forms.workflow_choice import WorkflowPicker, offered_of
from web.forms.workflow_inputs import Offered
from web.parts.clock import cron_words, every_words, known_zone, moments_words, zones
from web.parts.elements import Text, adorn, box, button, icon, show_if
from web.parts.fields import Fields, Picker, Segments, choice, enter_chooses, line, number
from web.parts.layout import Web, errors_as_toasts

_WAYS: Final = {"clock": "At a time", "every": "Repeating", "cron": "Cron"}
_UNITS: Final = {"minutes": "minutes", "hours": "hours"}


class ScheduleForm:
    """Shows the visitor's draft and changes it."""

    def __init__(self, web: Web, on_create: Callable[[], Awaitable[None]]) -> None:
        self.draft = ScheduleDraft.load()
        self.editing: ScheduleDocument | None = None
        self._web = web
        self._workflow = web.facade.default_workflow
        self._offered = Offered()
        self._known: list[WorkflowDocument] = []
        self._inputs: InputsGrid | None = None
        self._on_create = on_create
        self._options: OptionsDocument | None = None
        self._lists: Lists | None = None
        self._names: tuple[str, ...] = ()
        self._root = ui.context.slot.parent
        self._build()

    def _build(self) -> None:
        draft = self.draft
        self._fields = fields = Fields()
        with box("form-fields"):
            new = "New schedule" if self.editing is None else f"Change “{self.editing.name}”"
            adorn(Text(new, "side-title", "h2"), dir="auto")
            self._picker = WorkflowPicker(self._choose_workflow)
            self._picker.offer(self._known, self._workflow.name)
            self._name = line("Name", draft.name, self._setter("name"), maxlength=100)
            adorn(fields.add("name", self._name), disable=self.editing is not None)
            self._build_when()
            self._build_rows()
            with box("pair"):
                count = number(
                    self._count_label(), draft.count, self._setter("count"), 1, COUNT_MAX
                )
                fields.add("count", count)
                until = line(
                    "Stop starting at", draft.not_after, self._setter("not_after"), type="time"
                )
                fields.add("not_after", until)
            self._callback = CallbackField(draft.callback, self._setter("callback"))
            fields.add("callback", self._callback.field)
        with box("generate-bar bulk-bar"):
            made = box("btn btn-primary", "button", type="button", data_generate="")
            made.on("click", self._on_create, args=[])
            with made:
                icon("clock")
                Text("Create schedule" if self.editing is None else "Save changes")
            if self.editing is not None:
                button("Cancel", self.stop_editing)
        self._offer_models({})
        self._show()

    def _build_rows(self) -> None:
        """Build what the batch has: the prompt and the model of txt2img, or another's inputs."""
        self._inputs, self._model = None, None
        if self._workflow.name != DEFAULT_WORKFLOW:
            self._inputs = InputsGrid(self.draft, self._workflow, self._offered, self._set)
            self._prompt = self._inputs.prompt
            return
        self._prompt = PromptField(self.draft, self._fields, self._set)
        self._model = choice("Model", {}, None, self._setter("model"), searched=True)
        self._models = Picker(self._fields.add("model", self._model))

    def _count_label(self) -> str:
        several = plural(self._workflow.kind)
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
        before = ScheduleDraft.load_of(tab)
        if before is not None and before.model_dump() != self.draft.model_dump():
            self._put(before)
        self.draft.belongs_to(tab)

    # --- the workflow, and a schedule that is changed

    async def start(self) -> None:
        """Offer the workflows that there are, and show the form of the chosen one."""
        self._known = (await self._web.find_context().workflows.all()).items
        if self.draft.workflow != self._workflow.name:
            await self._load_workflow()
        else:
            self._picker.offer(self._known, self._workflow.name)

    @property
    def workflows(self) -> dict[str, WorkflowDocument]:
        """The workflows that there were when the page was opened."""
        return {one.name: one for one in self._known}

    @property
    def other_workflow(self) -> Workflow | None:
        """The workflow, if it is another one than txt2img."""
        return None if self._workflow.name == DEFAULT_WORKFLOW else self._workflow

    def request(self, zone: str | None) -> ScheduleRequest:
        """Returns the request. Raises ProblemError, ValidationError."""
        has_name = bool(self.draft.name.strip())
        rows = self._inputs.rows() if self._inputs is not None and has_name else None
        return self.draft.request(zone, rows)

    async def edit(self, document: ScheduleDocument, draft: EditedSchedule) -> None:
        """Show a schedule that exists, to change it; the form of a new one stays kept."""
        self.editing, self.draft = document, draft
        await self._load_workflow()

    async def stop_editing(self) -> None:
        """Show the form of a new schedule again."""
        self.editing, self.draft = None, ScheduleDraft.load()
        await self._load_workflow()

    async def _choose_workflow(self, name: str) -> None:
        self.draft.change(workflow=name)
        await self._load_workflow()

    async def _load_workflow(self) -> None:
        """Show the form of the draft's workflow; that of txt2img if it is gone."""
        workflow = await self._web.facade.workflow(self.draft.workflow)
        if workflow is None:
            self.draft.change(workflow=DEFAULT_WORKFLOW)
            workflow = self._web.facade.default_workflow
        self._offered = await offered_of(self._web, workflow)
        self._workflow = workflow
        self._rebuild()

    def _put(self, draft: ScheduleDraft) -> None:
        self.draft = draft
        if draft.workflow == self._workflow.name:
            self._rebuild()
            return
        with self._root:
            ui.timer(0, errors_as_toasts(self._load_workflow), once=True)

    def _rebuild(self) -> None:
        self._root.clear()
        with self._root:
            self._build()
        if self._options is not None:
            self.offer(self._options)
        if self._lists is not None:
            self.offer_lists(self._lists)
        self.offer_callbacks(self._names)

    def refuse(self, mistakes: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field."""
        left = self._fields.refuse(mistakes)
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
