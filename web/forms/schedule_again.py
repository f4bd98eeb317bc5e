"""The form of a schedule that exists, from what Prefect keeps of it."""

from __future__ import annotations

from typing import Any, Final

from api.schedules.documents import ScheduleDocument
from core.batches.request import FlowBatchRequest
from core.requests import DEFAULT_WORKFLOW
from core.stored import read_stored
from core.workflows.declaration import Workflow
from web.forms.batch_drafts import EditedSchedule
from web.forms.more_values import OF_PICTURES

DAYS: Final = {
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
"""The days that the form offers, as the end of a cron line."""
_MINUTE_S, _HOUR_S = 60, 3600
EVERY_MAX: Final = 9999
_CRON_FIELDS: Final = 5
_NEVER: Final = OF_PICTURES | {"seed", "batch_size", "wildcards"}
"""What the form of a schedule of txt2img does not show."""
_SHOWN: Final = frozenset(
    {
        *("name", "workflow", "count", "not_after", "timezone", "callback"),
        *("defaults", "grid", "vary_seed", "combine"),
    }
)


def edited_draft_of(document: ScheduleDocument, workflow: Workflow) -> EditedSchedule | None:
    """Returns the form that makes such a schedule; None when no form can say it."""
    try:
        batch = read_stored(FlowBatchRequest, document.batch)
    except ValueError:
        return None
    if batch.not_after and batch.timezone not in (None, document.timezone):
        return None
    grid, defaults = dict(batch.grid or {}), dict(batch.defaults)
    defaults.pop("workflow", None)
    if batch.model_fields_set - _SHOWN or batch.items or batch.callback_events:
        return None
    own = workflow.name == DEFAULT_WORKFLOW
    prompt = "prompt" if own else workflow.roles.get("prompt")
    prompts = grid.pop(prompt, None) if prompt is not None else None
    if prompts is None and prompt is not None:
        prompts = [defaults[prompt]] if isinstance(defaults.get(prompt), str) else []
    values = {name: value for name, value in defaults.items() if name != prompt}
    values |= values.pop("inputs", {})
    known = workflow.by_name.keys() - (_NEVER if own else set())
    if grid or values.keys() - known or not _are_lines(prompts or []):
        return None
    timing = _timing(document)
    if timing is None:
        return None
    return EditedSchedule(
        **timing,
        name=document.name,
        workflow=workflow.name,
        prompt="\n".join(prompts or []),
        each_line=len(prompts or []) > 1,
        model=values.get("model") if own else None,
        values={workflow.name: _more(values) if own else values},
        count=batch.count,
        not_after=batch.not_after or "",
        timezone=document.timezone,
        callback=batch.callback,
        vary_seed=batch.as_stored_before.vary_seed,
    )


def _more(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the values that are not the form's own fields."""
    return {name: value for name, value in values.items() if name != "model"}


def _are_lines(prompts: list[Any]) -> bool:
    texts = [text for text in prompts if isinstance(text, str)]
    several = len(prompts) > 1
    return len(texts) == len(prompts) and not (
        several and any("\n" in text or not text.strip() for text in texts)
    )


def _timing(document: ScheduleDocument) -> dict[str, Any] | None:
    if document.interval_s is not None:
        for unit, seconds in (("hours", _HOUR_S), ("minutes", _MINUTE_S)):
            every = document.interval_s / seconds
            if every.is_integer() and every <= EVERY_MAX:
                return {"way": "every", "every": int(every), "unit": unit}
        return None
    if document.cron is None or not document.day_or:
        return None
    parts = document.cron.split()
    is_clock = len(parts) == _CRON_FIELDS and parts[0].isdigit() and parts[1].isdigit()
    days = " ".join(parts[2:])
    if is_clock and days in DAYS:
        time = f"{int(parts[1]):02}:{int(parts[0]):02}"
        return {"way": "clock", "days": days, "time": time}
    return {"way": "cron", "cron": document.cron}
