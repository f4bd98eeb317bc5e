"""The form of a batch: a grid or a file, options, preview and start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, Final

from api.errors import ProblemError
from api.options import OptionsDocument
from core.batches.request import COUNT_MAX, IN_FLIGHT_MAX
from core.requests import SEED_MAX
from web.batches.wording import factors_line
from web.forms.batch_drafts import BulkDraft
from web.forms.drafts import DRAW_SEED
from web.forms.file import FileForm
from web.forms.grid import GridForm
from web.forms.manifests import Manifests
from web.parts.clock import known_zone, zones
from web.parts.elements import Text, adorn, box, icon, show_if
from web.parts.fields import Segments, choice, folded, line, number, tick

_COUNT_OF: Final = {"grid": "Images per combination", "file": "Images per row"}
_WAYS: Final = {"grid": "Build a grid", "file": "From a file"}
_Press = Callable[[], Awaitable[None]]


class BulkForm:
    """Shows the visitor's draft and changes it; ``on_change`` gets the names of changed fields."""

    def __init__(
        self,
        files: Manifests,
        on_dry_run: _Press,
        on_start: _Press,
        on_change: Callable[[Collection[str]], None],
    ) -> None:
        self.draft = BulkDraft.load()
        self._on_change = on_change
        with box("form-fields"):
            Text("New batch", "side-title", "h2")
            Segments("How rows are given", _WAYS, self.draft.way, self._choose_way)
            with box("way") as self._grid_way:
                self.grid = GridForm(self.draft, self._set)
            with box("way") as self._file_way:
                FileForm(self.draft, files, self._set)
            self._count = number("", self.draft.count, self._setter("count"), 1, COUNT_MAX)
            self._build_options()
        self._build_bar(on_dry_run, on_start)
        self._show()

    def offer(self, options: OptionsDocument) -> None:
        """Fill the pickers."""
        self.grid.offer(options)

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
        with folded("Options", draft.options_open, self._fold):
            line("Name", draft.name, self._setter("name"), maxlength=200)
            with box("pair"):
                number(
                    "Seed",
                    draft.seed,
                    self._setter("seed"),
                    DRAW_SEED,
                    SEED_MAX,
                    placeholder="random",
                )
                number(
                    "Parallel jobs",
                    draft.max_in_flight,
                    self._setter("max_in_flight"),
                    1,
                    IN_FLIGHT_MAX,
                    placeholder="8",
                )
            with box("pair"):
                self._stop("Stop after failures", "stop_after_failures", 2**31 - 1)
                self._stop("Stop at % failed", "stop_at_percent", 100)
            with box("pair"):
                line("Stop starting at", draft.not_after, self._setter("not_after"), type="time")
                self._zone = choice("Time zone", [], None, self._setter("timezone"), searched=True)
            tick("Expand wildcards in prompts", draft.wildcards, self._setter("wildcards"))
        self._offer_zones(zones() if draft.options_open else [])

    def _stop(self, label: str, name: str, most: int) -> None:
        value = getattr(self.draft, name)
        number(label, value, self._setter(name), 1, most, placeholder="never")

    def _build_bar(self, on_dry_run: _Press, on_start: _Press) -> None:
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
        self._dry_run.on("click", on_dry_run, args=[])
        self._start.on("click", on_start, args=[])

    # --- the draft

    def _setter(self, name: str) -> Callable[[Any], Any]:
        return lambda value: self._set(**{name: value})

    def _set(self, **values: Any) -> None:
        if changed := self.draft.change(**values):
            self._show()
            self._on_change(changed)

    def _choose_way(self, way: str) -> None:
        self._set(way=way)

    def _show(self) -> None:
        draft = self.draft
        for way, made in (("grid", self._grid_way), ("file", self._file_way)):
            show_if(made, way == draft.way)
        adorn(self._count, label=_COUNT_OF[draft.way])
        try:
            factors = draft.factors()
        except ProblemError as error:
            self._sum.text = error.problem.detail
            return
        self.grid.show(factors)
        zipped = draft.combine == "zip"
        count = draft.count if isinstance(draft.count, int) else 1
        self._sum.text = factors_line(factors, count, zipped=zipped) if draft.way == "grid" else ""

    def _fold(self, is_open: bool) -> None:
        self._set(options_open=is_open)
        if is_open:
            self._offer_zones(zones())

    def _offer_zones(self, offered: Iterable[str]) -> None:
        """Time zones are many: they are sent only when the options are opened."""
        chosen = self.draft.timezone or known_zone()
        names = [zone for zone in dict.fromkeys([*offered, chosen or ""]) if zone]
        self._zone.set_options(names, value=chosen)
