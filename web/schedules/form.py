"""The form of a schedule: when it fires, and which batch it starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from nicegui import ui

from api.errors import ProblemError
from api.options import OptionsDocument
from api.schedules.facade import Times, times_of
from core.batches.lists import Lists
from core.batches.request import COUNT_MAX
from core.wording import model_name
from web.forms.batch_drafts import ScheduleDraft
from web.forms.callback import CallbackField
from web.forms.mistakes import missing
from web.forms.prompts import PromptField
from web.parts.clock import cron_words, every_words, known_zone, moments_words, zones
from web.parts.elements import Text, adorn, box, icon, show_if
from web.parts.fields import Fields, Picker, Segments, choice, enter_chooses, line, number

_WAYS: Final = {"clock": "At a time", "every": "Repeating", "cron": "Cron"}
_DAYS: Final = {
    "* * *": "Every day",
    "* * 1-5": "Monday to Friday",
    "* * 0,6": "Saturday and Sunday",
    "* * 1": "Mondays",
    "* * 2": "Tuesdays",
    "* * 3": "Wednesdays",
    "* * 4": "Thursdays",
    "* * 5": "Fridays",
    "* * 6": "Saturdays",
    "* * 0": "Sundays",
    "1 * *": "First of the month",
}
_UNITS: Final = {"minutes": "minutes", "hours": "hours"}
_EVERY_MAX: Final = 9999


class ScheduleForm:
    """Shows the visitor's draft and changes it."""

    def __init__(self, on_create: Callable[[], Awaitable[None]]) -> None:
        self.draft = ScheduleDraft.load()
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
            Text("New schedule", "side-title", "h2")
            self._name = line("Name", draft.name, self._setter("name"), maxlength=100)
            fields.add("name", self._name)
            self._build_when()
            self._prompt = PromptField(draft, fields, self._set)
            self._model = choice("Model", {}, None, self._setter("model"), searched=True)
            self._models = Picker(fields.add("model", self._model))
            with box("pair"):
                count = number(
                    "Images per prompt", draft.count, self._setter("count"), 1, COUNT_MAX
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
                Text("Create schedule")
        self._offer_models({})
        self._show()

    def _build_when(self) -> None:
        draft, add = self.draft, self._fields.add
        with box("field"):
            Text("When", "label")
            Segments("When", _WAYS, draft.way, self._setter("way"))
        with box("pair") as self._by_clock:
            choice("Days", _DAYS, draft.days, self._setter("days"))
            add("time", line("Time", draft.time, self._setter("time"), type="time"))
        with box("pair") as self._by_interval:
            every = number("Every", draft.every, self._setter("every"), 1, _EVERY_MAX)
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
        names = {model.name: model_name(model.name) for model in options.models}
        self._offer_models(names)
        adorn(self._model, placeholder=model_name(options.default_model or "") or None)

    def offer_lists(self, lists: Lists) -> None:
        """Show the existing wildcard lists."""
        self._lists = lists
        self._prompt.offer(lists)

    def offer_callbacks(self, names: Sequence[str]) -> None:
        """Show the names of the stored callbacks."""
        self._names = tuple(names)
        self._callback.offer(self._names, self.draft.callback)

    def belongs_to(self, tab: str) -> None:
        """Show what this tab had in its form; what is shown is this tab's from now on."""
        before = ScheduleDraft.load_of(tab)
        if before is not None and before.model_dump() != self.draft.model_dump():
            self.draft = before
            self._root.clear()
            with self._root:
                self._build()
            if self._options is not None:
                self.offer(self._options)
            if self._lists is not None:
                self._prompt.offer(self._lists)
            self.offer_callbacks(self._names)
        self.draft.belongs_to(tab)

    def refuse(self, mistakes: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field."""
        return self._fields.refuse(mistakes)

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
