"""The form of a batch: its workflow, a grid or a file, options, preview and start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from nicegui import ui

from api.batches.facade import Manifest
from api.errors import ProblemError
from api.options import OptionsDocument
from core.artefacts import ArtefactKind
from core.batches.lists import Lists
from core.batches.manifest import BATCH_NAME_MAX
from core.batches.request import COUNT_MAX, IN_FLIGHT_MAX
from core.fields import SEED_MAX
from core.workflows.declaration import Workflow
from web.batches.wording import FACTORS, factors_line, plural
from web.forms.batch_drafts import BulkDraft
from web.forms.callback import CallbackField
from web.forms.drafts import DRAW_SEED
from web.forms.file import FileForm
from web.forms.grid import GridForm
from web.forms.inputs_grid import InputsGrid
from web.forms.labels import label_of
from web.forms.manifests import Manifests
from web.forms.workflow_choice import WorkflowPicker
from web.forms.workflow_switch import WorkflowSwitch
from web.parts.clock import known_zone, zones
from web.parts.elements import Text, adorn, box, icon, show_if
from web.parts.fields import Fields, Segments, choice, enter_chooses, folded, line, number, tick
from web.parts.layout import Web

_COUNT_OF: Final = {"grid": "per combination", "file": "per row"}
_WAYS: Final = {"grid": "Build a grid", "file": "From a file"}
_OPTIONS: Final = frozenset(
    {
        "name",
        "seed",
        "max_in_flight",
        "stop_after_failures",
        "stop_at_failure_share",
        "not_after",
        "timezone",
        "callback",
    }
)
_Press = Callable[[], Awaitable[None]]


class BulkForm:
    """Shows the visitor's draft and changes it; ``on_change`` gets the names of changed fields."""

    def __init__(
        self,
        web: Web,
        files: Manifests,
        on_dry_run: _Press,
        on_start: _Press,
        on_change: Callable[[Collection[str]], None],
    ) -> None:
        self._of = WorkflowSwitch(web, BulkDraft.load(), self._rebuild)
        self._files = files
        self._on_dry_run = on_dry_run
        self._on_start = on_start
        self._on_change = on_change
        self._options: OptionsDocument | None = None
        self._lists: Lists | None = None
        self._names: tuple[str, ...] = ()
        self._build()

    async def start(self) -> None:
        """Offer the workflows that there are, and show the form of the chosen one."""
        await self._of.start()
        self._offer_more()
        self._picker.offer(self._of.known, self._of.workflow.name)

    @property
    def draft(self) -> BulkDraft:
        """What is shown."""
        return self._of.draft

    def manifest(self, zone: str | None, seed: int | None = None) -> Manifest:
        """Returns the manifest. Raises ProblemError, ValidationError."""
        rows = self.grid.rows() if self.draft.way == "grid" else None
        return self.draft.manifest(self._files, zone, seed, rows)

    @property
    def kind(self) -> ArtefactKind | None:
        """What the workflow makes."""
        return self._of.workflow.kind

    @property
    def workflow(self) -> Workflow:
        """The workflow that it is for."""
        return self._of.workflow

    @property
    def other_workflow(self) -> Workflow | None:
        """The workflow, if it is another one than txt2img."""
        return self._of.other

    @property
    def labels(self) -> dict[str, str]:
        """What the workflow's inputs are called."""
        return {one.name: label_of(one) for one in self._of.workflow.inputs}

    async def _choose_workflow(self, name: str) -> None:
        if await self._of.choose(name):
            self._on_change({"workflow"})

    def _build(self) -> None:
        """Build what stays, and around it what is of the draft."""
        self._is_built = False
        with box("form-fields"):
            self._head = box("form-part")
            self._grid_way, self._file_way = box("way"), box("way")
            self._tail = box("form-part")
        with self._file_way:
            self._file = FileForm(self.draft, self._files, self._set)
        self._build_bar()
        self._fill()

    def _fill(self) -> None:
        """Build what is of the draft."""
        self._is_built = False
        self._fields = Fields()
        self._head.clear()
        with self._head:
            Text("New batch", "side-title", "h2")
            self._picker = WorkflowPicker(self._choose_workflow)
            self._picker.offer(self._of.known, self._of.workflow.name)
            Segments("How rows are given", _WAYS, self.draft.way, self._choose_way)
        self._fill_ways()
        self._tail.clear()
        with self._tail:
            self._count = number("", self.draft.count, self._setter("count"), 1, COUNT_MAX)
            self._fields.add("count", self._count)
            self._build_options()
        self._is_built = True
        self._show()

    def _fill_ways(self) -> None:
        """Build what depends on the workflow."""
        self._grid_way.clear()
        with self._grid_way:
            self.grid = self._build_grid()
        self._file.show(self.draft, self._of.workflow)

    def _build_grid(self) -> GridForm | InputsGrid:
        if self.other_workflow is None:
            return GridForm(self.draft, self._of.workflow, self._set)
        return InputsGrid(self.draft, self.other_workflow, self._of.offered, self._set)

    def _offer_more(self) -> None:
        if isinstance(self.grid, GridForm):
            self.grid.offer_more(self._of.own_offered)

    def offer(self, options: OptionsDocument) -> None:
        """Fill the pickers."""
        self._options = options
        self.grid.offer(options)

    def offer_lists(self, lists: Lists) -> None:
        """Show the existing wildcard lists."""
        self._lists = lists
        self.grid.offer_lists(lists)

    def offer_callbacks(self, names: Sequence[str]) -> None:
        """Show the names of the stored callbacks."""
        self._names = tuple(names)
        self._callback.offer(self._names, self.draft.callback)

    def belongs_to(self, tab: str) -> None:
        """Show what this tab had in its form; what is shown is this tab's from now on."""
        self._of.belongs_to(tab)

    def put_back(self, draft: BulkDraft) -> None:
        """Show an earlier form again."""
        draft.belongs_to_this_tab()
        draft.save()
        self._of.put(draft)

    def _rebuild(self, whole: bool) -> None:
        if whole:
            self._fill()
            self.offer_callbacks(self._names)
        else:
            self._is_built = False
            self._fill_ways()
            self._is_built = True
            self._picker.show(self._of.workflow.name)
            self._show()
        self._offer_more()
        if self._options is not None:
            self.grid.offer(self._options)
        if self._lists is not None:
            self.grid.offer_lists(self._lists)

    def refuse(self, mistakes: Mapping[str, str], *, rows: bool) -> dict[str, str]:
        """Show what is wrong at the fields; ``rows``: it is about rows, so about the grid first.

        Returns what has no field.
        """
        if rows:
            mistakes = self.grid.refuse(mistakes)
        if mistakes.keys() & _OPTIONS:
            self.draft.change(options_open=True)
            adorn(self._fold_made, open=True)
        left = self._fields.refuse(mistakes)
        return left if rows or self.other_workflow is None else self.grid.refuse(left)

    def busy(self, label: str | None) -> None:
        """Disable the buttons while the server works, so that nothing is pressed twice."""
        for made in (self._dry_run, self._start):
            adorn(made, disabled=label is not None)
        self._start_label.text = label or "Start"

    def show_zone(self) -> None:
        """Show the visitor's time zone, now that it is known."""
        if self.draft.timezone is None:
            self._offer_zones(list(self._zone.options))

    # --- parts

    def _build_options(self) -> None:
        draft = self.draft
        add = self._fields.add
        with folded("Options", draft.options_open, self._fold) as fold:
            self._fold_made = fold
            add("name", line("Name", draft.name, self._setter("name"), maxlength=BATCH_NAME_MAX))
            with box("pair"):
                seed = number(
                    "Seed",
                    draft.seed,
                    self._setter("seed"),
                    DRAW_SEED,
                    SEED_MAX,
                    placeholder="random",
                )
                add("seed", seed)
                at_once = number(
                    "Parallel jobs",
                    draft.max_in_flight,
                    self._setter("max_in_flight"),
                    1,
                    IN_FLIGHT_MAX,
                    placeholder="8",
                )
                add("max_in_flight", at_once)
            with box("pair"):
                stop = self._stop("Stop after failures", "stop_after_failures", 2**31 - 1)
                add("stop_after_failures", stop)
                add("stop_at_failure_share", self._stop("Stop at % failed", "stop_at_percent", 100))
            with box("pair"):
                until = line(
                    "Stop starting at", draft.not_after, self._setter("not_after"), type="time"
                )
                add("not_after", until)
                self._zone = choice("Time zone", [], None, self._setter("timezone"), searched=True)
                add("timezone", enter_chooses(self._zone))
            self._callback = CallbackField(draft.callback, self._choose_callback)
            add("callback", self._callback.field)
            tick("Expand wildcards in prompts", draft.wildcards, self._setter("wildcards"))
        self._offer_zones(zones() if draft.options_open else [])

    def _stop(self, label: str, name: str, most: int) -> ui.number:
        value = getattr(self.draft, name)
        return number(label, value, self._setter(name), 1, most, placeholder="never")

    def _build_bar(self) -> None:
        with box("generate-bar bulk-bar"):
            self._sum = Text("", "bulk-sum")
            with box("bulk-buttons"):
                self._dry_run = box("btn", "button", type="button", data_generate="")
                with self._dry_run:
                    Text("Preview")
                self._start = box("btn btn-primary", "button", type="button")
                with self._start:
                    icon("spark")
                    self._start_label = Text("Start")
        self._dry_run.on("click", self._on_dry_run, args=[])
        self._start.on("click", self._on_start, args=[])

    # --- the draft

    def _setter(self, name: str) -> Callable[[Any], Any]:
        return lambda value: self._set(**{name: value})

    def _set(self, **values: Any) -> None:
        changed = self.draft.change(**values)
        if changed and self._is_built:  # while it is built, the visitor's time zone is put in
            self._show()
            self._on_change(changed)

    def _choose_way(self, way: str) -> None:
        self._set(way=way)

    def _choose_callback(self, name: str | None) -> None:
        """A reused batch's events are those of its callback, not of another."""
        if name != self.draft.callback:
            self._set(callback=name, callback_events=None)

    def _show(self) -> None:
        draft = self.draft
        for way, made in (("grid", self._grid_way), ("file", self._file_way)):
            show_if(made, way == draft.way)
        many = plural(self.kind)
        adorn(self._count, label=f"{many[:1].upper()}{many[1:]} {_COUNT_OF[draft.way]}")
        try:
            factors = self.grid.factors()
        except ProblemError as error:
            self._sum.text = error.problem.detail
            return
        self.grid.show(factors)
        zipped = draft.combine == "zip"
        count = draft.count if isinstance(draft.count, int) else 1
        words = {**FACTORS, **self.grid.words()}
        said = factors_line(factors, count, zipped=zipped, kind=self.kind, words=words)
        self._sum.text = said if draft.way == "grid" else ""

    def _fold(self, is_open: bool) -> None:
        self._set(options_open=is_open)
        adorn(self._fold_made, open=is_open)  # what the browser has: else it is not opened again
        if is_open:
            self._offer_zones(zones())

    def _offer_zones(self, offered: Iterable[str]) -> None:
        """Time zones are many: they are sent only when the options are opened."""
        chosen = self.draft.timezone or known_zone()
        names = [zone for zone in dict.fromkeys([*offered, chosen or ""]) if zone]
        self._zone.set_options(names, value=chosen)
