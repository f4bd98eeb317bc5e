"""The pages' texts about batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from api.batches.documents import BatchDocument, CountsDocument, PlanDocument
from api.body import PROBLEMS_SHOWN
from core.artefacts import ArtefactKind
from core.problems import Problem
from core.requests import DEFAULT_WORKFLOW
from core.status import BATCH_ACTIVE, BatchStatus
from core.wording import about, brief, model_name
from web.parts.outputs import KIND_PLURALS
from web.parts.wording import title

BATCH_WORDS: Final[dict[BatchStatus, str]] = {
    "queued": "Queued",
    "running": "Running",
    "paused": "Paused",
    "cancelling": "Cancelling",
    "succeeded": "Done",
    "failed": "Incomplete",
    "cancelled": "Cancelled",
}
FIELD_WORDS: Final = {
    "prompt": "prompt",
    "negative_prompt": "negative prompt",
    "model": "model",
    "size": "size",
    "steps": "steps",
    "cfg": "CFG",
    "sampler": "sampler",
    "scheduler": "scheduler",
    "seed": "seed",
}
FACTORS: Final = {
    "prompt": "prompts",
    "model": "models",
    "size": "sizes",
    "steps": "step counts",
    "cfg": "CFG values",
    "sampler": "samplers",
    "scheduler": "schedulers",
    "seed": "seeds",
}


def state_words(document: BatchDocument) -> str:
    """Returns its state in a few words; for one that failed, with the number of failures."""
    failed = document.counts.failed
    if document.status != "failed" or not failed:
        return BATCH_WORDS[document.status]
    said = "Stopped after" if document.counts.waiting else "Finished with"
    return f"{said} {failed:,} {'failure' if failed == 1 else 'failures'}"


def is_active(document: BatchDocument) -> bool:
    """Returns whether it has not ended."""
    return document.status in BATCH_ACTIVE


def plural(kind: ArtefactKind | None) -> str:
    """Returns what several outputs are called: "images"; "files" where the kind is not known."""
    return KIND_PLURALS[kind or "file"]


def counted(number: int, kind: ArtefactKind | None = "image") -> str:
    """Returns for example "1 image" or "3 videos"."""
    several = plural(kind)
    return f"1 {several.removesuffix('s')}" if number == 1 else f"{number:,} {several}"


def under_way(counts: CountsDocument) -> int:
    """Returns the number of items that have started and not ended."""
    return counts.queued + counts.running + counts.cancelling


def done_line(document: BatchDocument) -> str:
    """Returns how much of it is done."""
    counts = document.counts
    said = [f"{counts.succeeded:,} of {document.total:,}"]
    said += [f"{counts.failed:,} failed"] if counts.failed else []
    said += [f"{counts.cancelled:,} cancelled"] if counts.cancelled else []
    return " · ".join(said)


def pace_line(document: BatchDocument) -> str:
    """Returns the rate and the remaining time."""
    said = []
    if is_active(document):
        if document.rate_per_minute is not None:
            said.append(f"{_rounded(document.rate_per_minute)} a minute")
        if document.eta_s is not None:
            said.append(f"{brief(document.eta_s)} left")
    if document.gpu_seconds >= 1:
        said.append(f"{brief(document.gpu_seconds)} of GPU time")
    return " · ".join(said)


def _rounded(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def plan_line(plan: PlanDocument, kind: ArtefactKind | None = "image") -> str:
    """Returns the size of a planned batch."""
    said = counted(plan.total, kind)
    if plan.estimated_s is None:
        return f"{said}. How long they take is not known yet."
    return f"{said}, {about(plan.estimated_s)} of work"


def models_line(models: dict[str, int]) -> str:
    """Returns the number of images of each model."""
    named = {name: number for name, number in models.items() if name}
    return ", ".join(f"{model_name(name)} × {number:,}" for name, number in named.items())


def factors_line(
    factors: dict[str, int],
    count: int,
    *,
    zipped: bool,
    kind: ArtefactKind | None = "image",
    words: Mapping[str, str] = FACTORS,
) -> str:
    """Returns what a grid multiplies: "2 models × 3 step counts × 2 each = 12 images"."""
    several = {name: number for name, number in factors.items() if number > 1}
    if zipped and len(several) > 1:
        lengths = set(several.values())
        if len(lengths) > 1:
            return "To pair up, all lists need the same number of values."
        said, total = [f"{lengths.pop():,} paired"], max(several.values())
    else:
        said = [f"{number:,} {words[name]}" for name, number in several.items()]
        total = math.prod(several.values())
    if count > 1 and said:
        said.append(f"{count:,} each")
    made = counted(total * count, kind)
    return f"{' × '.join(said)} = {made}" if said else made


def problem_lines(problem: Problem, *, rows: bool) -> list[tuple[str, str]]:
    """Returns the place and the message of each problem of a manifest."""
    found = []
    for one in problem.errors:
        parts = [str(part) for part in one.loc]
        if len(parts) > 1 and parts[0] == "row":
            column = FIELD_WORDS.get(parts[2], parts[2]) if len(parts) > 2 else ""
            row = f"Row {parts[1]}" if rows and parts[1] != "0" else ""
            where = ", ".join(filter(None, [row, column]))
        else:
            where = ".".join(parts)
        found.append((where[:1].upper() + where[1:], one.message))
    return found


def rows_with_problems(problem: Problem) -> str:
    """Returns for example "6 rows have problems"."""
    rows = {one.row for one in problem.errors if one.loc[:1] == ("row",) and one.row}
    if not rows:
        return "The file has problems"
    if len(problem.errors) >= PROBLEMS_SHOWN:
        return f"{len(rows):,} rows or more have problems"
    return "1 row has problems" if len(rows) == 1 else f"{len(rows):,} rows have problems"


def makes_line(batch: dict[str, Any], prompt: str | None = "prompt") -> str:
    """Returns the prompts of a schedule's batch, in one line; ``prompt`` is their input."""
    prompts = _prompts(batch, prompt) if prompt is not None else []
    if not prompts:
        return "No prompt"
    more = len(prompts) - 1
    return f"“{title(prompts[0], 90)}”" + (f" and {more:,} more" if more else "")


def made_count(batch: dict[str, Any]) -> int | None:
    """Returns how many images a schedule's batch has; None if unknown."""
    count, rows = batch.get("count", 1), batch.get("items")
    lengths = [len(values) for values in _dict(batch.get("grid")).values() if _is_list(values)]
    each = max(lengths, default=1) if batch.get("combine") == "zip" else math.prod(lengths)
    counts = [_dict(row).get("count", count) for row in rows] if _is_list(rows) else [count]
    return each * sum(counts) if all(isinstance(one, int) for one in counts) else None


def workflow_of(batch: dict[str, Any]) -> str:
    """Returns the name of a schedule's workflow."""
    named = batch.get("workflow") or _dict(batch.get("defaults")).get("workflow")
    return named if isinstance(named, str) else DEFAULT_WORKFLOW


def _prompts(batch: dict[str, Any], prompt: str) -> list[str]:
    listed, rows = _dict(batch.get("grid")).get(prompt), batch.get("items")
    if _is_list(listed):
        return [str(one) for one in listed]
    found = [_dict(row).get(prompt) for row in rows] if _is_list(rows) else []
    said = [one for one in found if isinstance(one, str)]
    default = _dict(batch.get("defaults")).get(prompt)
    return said or ([default] if isinstance(default, str) else [])


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
