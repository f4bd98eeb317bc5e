"""The forms of batches and schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError

from api.batches.facade import Manifest
from api.schedules.facade import ScheduleRequest
from core.batches.request import BatchRequest, FileOptions
from core.requests import DEFAULT_WORKFLOW
from web.forms.drafts import DRAW_SEED
from web.forms.kept_draft import storage
from web.forms.manifests import KeptFile, Manifests
from web.forms.mistakes import missing
from web.forms.workflow_drafts import InputsDraft

DRAFTS_KEPT: Final = 20
"""Number of batches started here whose form is kept, to start them again."""
AXES: Final[dict[str, str]] = {
    "steps": "Steps",
    "cfg": "CFG",
    "sampler": "Sampler",
    "scheduler": "Scheduler",
    "seed": "Seed",
}
"""Fields that may be added to a grid."""
NUMBERS: Final[dict[str, Callable[[str], int | float]]] = {"steps": int, "cfg": float, "seed": int}


class Axis(BaseModel):
    """A field of the grid. ``text`` is a list of numbers as typed."""

    field: str
    text: str = ""
    chosen: list[Any] = []

    def values(self) -> list[Any]:
        """Returns the values. ProblemError when the text is not a list of numbers."""
        read = NUMBERS.get(self.field)
        if read is None:
            return list(self.chosen)
        return [self._number(read, word) for word in self.text.replace(",", " ").split()]

    def _number(self, read: Callable[[str], int | float], word: str) -> int | float:
        try:
            return read(word)
        except ValueError as error:
            kind = "a number" if read is float else "a whole number"
            raise missing(
                self.field, f"{AXES[self.field]}: “{word[:40]}” is not {kind}."
            ) from error


class PromptDraft(InputsDraft):
    """One prompt, or one per line; for other workflows than txt2img, their inputs' values."""

    workflow: str = DEFAULT_WORKFLOW

    prompt: str = ""
    each_line: bool = False

    def prompts(self) -> list[str]:
        """The prompts."""
        if self.each_line:
            return [line.strip() for line in self.prompt.splitlines() if line.strip()]
        return [self.prompt] if self.prompt.strip() else []

    def _said(self) -> list[str]:
        prompts = self.prompts()
        if not prompts:
            raise missing("prompt", "Describe the image first.")
        return prompts


class BulkDraft(PromptDraft):
    """The form of the bulk page. None and empty leave the value to the server."""

    KEY = "bulk"

    way: Literal["grid", "file"] = "grid"
    file: KeptFile | None = None
    negative: str = ""
    models: list[str] = Field(default_factory=list)
    sizes: list[str] = Field(default_factory=list)
    axes: list[Axis] = Field(default_factory=list)
    lists: dict[str, list[Axis]] = Field(default_factory=dict)
    """The axes of other workflows than txt2img."""
    combine: Literal["product", "zip"] = "product"
    count: int | float | None = 1
    name: str = ""
    seed: int | float | None = None
    wildcards: bool = True
    skip_bad: bool = False
    max_in_flight: int | float | None = None
    stop_after_failures: int | float | None = None
    stop_at_percent: int | float | None = None
    not_after: str = ""
    timezone: str | None = None
    callback: str | None = None
    callback_events: list[str] | None = None
    options_open: bool = False

    @property
    def is_begun(self) -> bool:
        """Returns whether there is something to lose in it."""
        lists = (self.models, self.sizes, self.axes, self.values, self.lists)
        return bool(self.prompt.strip() or self.negative.strip() or self.file or any(lists))

    def manifest(
        self,
        files: Manifests,
        zone: str | None,
        seed: int | None = None,
        rows: dict[str, Any] | None = None,
    ) -> Manifest:
        """Returns the manifest. Raises ProblemError, ValidationError.

        ``rows`` are those of another workflow than txt2img (``workflow_batch.rows_of``).
        """
        options = self._options(zone)
        if seed is not None:
            options["seed"] = seed
        if self.way == "grid" and rows is not None:
            request = {**options, **rows, "combine": self.combine}
            return Manifest(BatchRequest.model_validate(request))
        if self.way == "grid":
            return Manifest(BatchRequest.model_validate({**options, **self._rows()}))
        if self.workflow != DEFAULT_WORKFLOW:
            options["workflow"] = self.workflow
        if self.file is None:
            raise missing("file", "Choose a file first.")
        return Manifest.of_file(
            FileOptions.model_validate(options),
            files.path(self.file),
            self.file.kind,
            skip_bad=self.skip_bad,
            file_name=self.file.name,
        )

    def factors(self) -> dict[str, int]:
        """Returns the length of each list. ProblemError when one cannot be parsed."""
        return {name: len(values) for name, values in self._lists(self.prompts()).items()}

    def _lists(self, prompts: list[str]) -> dict[str, list[Any]]:
        lists: dict[str, list[Any]] = {"prompt": prompts, "model": list(self.models)}
        lists["size"] = [size_of(text) for text in self.sizes]
        lists |= {axis.field: axis.values() for axis in self.axes if axis.field in AXES}
        return {name: values for name, values in lists.items() if values}

    def _rows(self) -> dict[str, Any]:
        lists = self._lists(self._said())
        for axis in self.axes:
            if axis.field in AXES and axis.field not in lists:
                raise missing(axis.field, f"{AXES[axis.field]}: add a value, or remove the field.")
        defaults = {name: values[0] for name, values in lists.items() if len(values) == 1}
        grid = {name: values for name, values in lists.items() if len(values) > 1}
        defaults = {**self.of(DEFAULT_WORKFLOW), **_sized(defaults)}
        rows: dict[str, Any] = {"defaults": defaults, "combine": self.combine}
        if self.negative.strip():
            rows["defaults"]["negative_prompt"] = self.negative
        if self.combine == "product" and "size" in grid:
            # Width and height belong together, so they cannot be two lists of a product.
            rows["items"] = [{"width": width, "height": height} for width, height in grid["size"]]
            del grid["size"]
        if grid:
            rows["grid"] = _sides(grid)
        return rows

    def _file_name(self) -> str | None:
        """Returns the name of the chosen file without its ending, as a batch's name."""
        if self.way != "file" or self.file is None:
            return None
        return self.file.name.rpartition(".")[0].strip() or None

    def _options(self, zone: str | None) -> dict[str, Any]:
        share = self.stop_at_percent
        given = {
            "name": self.name.strip() or self._file_name(),
            "count": self.count,
            "seed": None if self.seed == DRAW_SEED else self.seed,
            "max_in_flight": self.max_in_flight,
            "stop_after_failures": self.stop_after_failures,
            "stop_at_failure_share": share / 100 if share is not None else None,
            **_until(self.not_after, self.timezone or zone),
            **_told(self.callback, self.callback_events),
        }
        return {"wildcards": self.wildcards, **_without_none(given)}


class ScheduleDraft(PromptDraft):
    """The form of a schedule."""

    KEY = "schedule"

    name: str = ""
    way: Literal["clock", "every", "cron"] = "clock"
    days: str = "* * *"
    time: str = "02:00"
    every: int | float | None = 30
    unit: Literal["minutes", "hours"] = "minutes"
    cron: str = "0 2 * * *"
    timezone: str | None = None
    model: str | None = None
    count: int | float | None = 4
    not_after: str = ""
    callback: str | None = None

    def cron_text(self) -> str | None:
        """Returns the cron expression; None for a schedule by interval."""
        if self.way == "every":
            return None
        if self.way == "cron":
            return self.cron.strip()
        hour, _, minute = self.time.partition(":")
        if not (hour.isdigit() and minute.isdigit()):
            raise missing("time", "Enter the time at which it starts.")
        return f"{int(minute)} {int(hour)} {self.days}"

    def interval_s(self) -> float | None:
        """Returns the seconds between two runs; None for a schedule by cron."""
        if self.way != "every":
            return None
        if self.every is None:
            raise missing("interval_s", "Enter how often it starts.")
        return float(self.every * {"minutes": 60, "hours": 3600}[self.unit])

    def request(self, zone: str | None, rows: dict[str, Any] | None = None) -> ScheduleRequest:
        """Returns the request. Raises ProblemError, ValidationError.

        ``rows`` are those of another workflow than txt2img (``workflow_batch.rows_of``).
        """
        if not self.name.strip():
            raise missing("name", "Enter a name first.")
        name = self.name.strip()
        where = self.timezone or zone
        batch: dict[str, Any] = {"name": name, **(self._rows() if rows is None else rows)}
        options = {"count": self.count, **_until(self.not_after, where), **_told(self.callback)}
        batch |= _without_none(options)
        timing = {"cron": self.cron_text(), "interval_s": self.interval_s()}
        return ScheduleRequest.model_validate(
            {"name": name, **_without_none({**timing, "timezone": where}), "batch": batch}
        )

    def _rows(self) -> dict[str, Any]:
        prompts = self._said()
        defaults = dict(self.of(DEFAULT_WORKFLOW))
        if self.model is not None:
            defaults["model"] = self.model
        if len(prompts) == 1:
            return {"defaults": {**defaults, "prompt": prompts[0]}}
        return {"defaults": defaults, "grid": {"prompt": prompts}}


class EditedSchedule(ScheduleDraft):
    """The form while it changes a schedule that exists: apart from that of a new one."""

    KEY = "schedule-edited"

    vary_seed: bool = False

    def request(self, zone: str | None, rows: dict[str, Any] | None = None) -> ScheduleRequest:
        """As for a new one, with what its form does not show as it was."""
        asked = super().request(zone, rows)
        batch = asked.batch.model_copy(update={"vary_seed": self.vary_seed})
        return asked.model_copy(update={"batch": batch})


def size_of(text: str) -> tuple[int, int]:
    """Returns width and height of "512 × 768". ProblemError when it is not a size."""
    parts = text.lower().replace("×", "x").split("x")
    numbers = [part.strip() for part in parts]
    if len(numbers) != 2 or not all(number.isdigit() and len(number) < 6 for number in numbers):
        raise missing("size", f"Size: “{text[:40]}” is not width × height, e.g. 512 × 768.")
    return int(numbers[0]), int(numbers[1])


def _sized(fields: dict[str, Any]) -> dict[str, Any]:
    if "size" not in fields:
        return fields
    width, height = fields["size"]
    return {**{k: v for k, v in fields.items() if k != "size"}, "width": width, "height": height}


def _sides(grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if "size" not in grid:
        return grid
    sides = {"width": [size[0] for size in grid["size"]], "height": [s[1] for s in grid["size"]]}
    return {**{name: values for name, values in grid.items() if name != "size"}, **sides}


def _until(not_after: str, zone: str | None) -> dict[str, str | None]:
    return {"not_after": not_after, "timezone": zone} if not_after else {}


def _told(callback: str | None, events: list[str] | None = None) -> dict[str, Any]:
    return {} if callback is None else {"callback": callback, "callback_events": events}


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


# --- the forms of batches that were started


def remember(batch_id: str, draft: BulkDraft) -> None:
    """Store the form that a batch was started with."""
    kept: dict[str, Any] = dict(storage().get("begun", {}))
    kept[batch_id] = draft.model_dump()
    storage()["begun"] = dict(list(kept.items())[-DRAFTS_KEPT:])


def begun_with(batch_id: str) -> BulkDraft | None:
    """Returns the form that the visitor started a batch with."""
    found = storage().get("begun", {}).get(batch_id)
    try:
        return BulkDraft.model_validate(found) if found is not None else None
    except ValidationError:
        return None
