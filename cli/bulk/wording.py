"""The texts of ``easel bulk`` about a batch: its plan, its bad rows, its failures, its end."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.bulk.follow import is_past_its_window
from cli.bulk.pictures import BatchPictures
from cli.console import console_on
from cli.warned import warning_line
from core.problems import FieldProblem
from core.requests import DEFAULT_WORKFLOW, ENVELOPE, INPUTS
from core.wording import about

if TYPE_CHECKING:
    from rich.table import Table

REASONS_MAX: Final = 10
SKIPPED_TOLD: Final = 1000
"""The API names no more skipped rows than these."""
_ROWS_SHOWN: Final = 5
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")
_SAMPLES_SHOWN: Final = 5
_SAMPLE_WIDTH: Final = 100
_VALUE_WIDTH: Final = 40
_UNTOLD: Final = frozenset({"prompt", INPUTS, *ENVELOPE})
"""Fields of a sample that its line of settings leaves out."""


# --- bad rows


def skipped_rows(skipped: Iterable[Mapping[str, Any]]) -> list[FieldProblem]:
    """Returns the rows that a create left out."""
    return [
        FieldProblem.of_row(one["row"], one["column"], one["code"], one["message"])
        for one in skipped
    ]


def refused_rows(errors: Iterable[Mapping[str, Any]]) -> list[FieldProblem]:
    """Returns the ``errors`` of a refused manifest."""
    return [FieldProblem(tuple(one["loc"]), one["code"], one["message"]) for one in errors]


def bad_rows_table(rows: Sequence[FieldProblem]) -> Table:
    """Returns a table of row, column and message."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("row", justify="right")
    table.add_column("column", overflow="fold")
    table.add_column("message", overflow="fold")
    for bad in rows:
        table.add_row(Text(str(bad.row or "")), Text(bad.column or ""), Text(bad.message))
    return table


def print_bad_rows(rows: Sequence[FieldProblem]) -> None:
    """Print the table on stderr."""
    if rows:
        console_on(sys.stderr).print(bad_rows_table(rows), soft_wrap=False)


def write_report(path: Path, rows: Iterable[FieldProblem]) -> None:
    """Write bad rows as CSV: row, column, code, message. Raises OSError."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "column", "code", "message"))
        writer.writerows(
            (bad.row or "", _harmless(bad.column or ""), bad.code, _harmless(bad.message))
            for bad in rows
        )


def _harmless(cell: str) -> str:
    """Returns a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell


def skipped_line(rows: Sequence[FieldProblem], report: Path | None) -> str:
    """Returns how many rows were left out, and where they are listed."""
    count = len({bad.row for bad in rows})
    some = "at least " if len(rows) >= SKIPPED_TOLD else ""
    where = f"; {report} names them" if report is not None else "; --report FILE names them"
    return f"{some}{_counted(count, 'row')} skipped{where}."


# --- a dry run


def plan_lines(plan: Mapping[str, Any], file: Path) -> list[str]:
    """Returns what would be made."""
    estimate = plan["estimated_s"]
    takes = "not known yet" if estimate is None else about(estimate)
    models = [f"{count} × {model}" for model, count in plan["models"].items() if model]
    return [
        f"{file.name}: {_counted(plan['total'], 'generation')}; nothing was created.",
        *(_fields(("models", ", ".join(models))) if models else ()),
        *_fields(("takes", takes)),
        *_fields(("seed", f"{plan['seed']} (--seed {plan['seed']} generates exactly these)")),
        *_sample_lines(plan["samples"][:_SAMPLES_SHOWN]),
        *map(_warning_line, plan.get("warnings", ())),
    ]


def _warning_line(warning: Mapping[str, Any]) -> str:
    many = _counted(warning["count"], "generation")
    return f"warning: {warning_line(warning)} (row {warning['row']}, {many})"


def _sample_lines(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["first ones:"] if samples else []
    for sample in samples:
        prompt = " ".join(str(sample.get("prompt") or sample.get("workflow") or "").split())
        shown = prompt if len(prompt) <= _SAMPLE_WIDTH else f"{prompt[: _SAMPLE_WIDTH - 1]}…"
        lines += [f"  {shown}", f"      {_how_made(sample)}"]
    return lines


def _how_made(sample: Mapping[str, Any]) -> str:
    """Returns its settings: those of txt2img in its order, others by their names."""
    if sample.get("workflow", DEFAULT_WORKFLOW) != DEFAULT_WORKFLOW:
        given = {**sample, **sample.get("inputs", {})}
        told = [f"{name} {_brief(value)}" for name, value in given.items() if name not in _UNTOLD]
        return ", ".join(told)
    size, steps = f"{sample['width']}x{sample['height']}", f"{sample['steps']} steps"
    return f"{size}, {steps}, cfg {sample['cfg']:g}, {sample['sampler']}, seed {sample['seed']}"


def _brief(value: object) -> str:
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(said.split())
    return line if len(line) <= _VALUE_WIDTH else f"{line[: _VALUE_WIDTH - 1]}…"


# --- the end


def failure_lines(items: Sequence[Mapping[str, Any]], failed: int) -> list[str]:
    """Returns why items failed: each reason once, with its count and rows."""
    rows: dict[str, list[int]] = {}
    for item in items:
        error = (item["generation"] or {}).get("error") or {}
        reason = str(error.get("detail") or error.get("title") or "the generation failed")
        rows.setdefault(reason, []).append(item["row"])
    reasons = list(rows.items())[:REASONS_MAX]
    lines = [f"  {len(found)} × {reason} ({_rows_text(found)})" for reason, found in reasons]
    left = failed - sum(len(found) for _, found in reasons)
    return [*lines, f"  and {left} more"] if left > 0 else lines


def _rows_text(rows: Sequence[int]) -> str:
    distinct = list(dict.fromkeys(rows))
    more = ", …" if len(distinct) > _ROWS_SHOWN else ""
    word = "row" if len(distinct) == 1 else "rows"
    return f"{word} {', '.join(map(str, distinct[:_ROWS_SHOWN]))}{more}"


def summary_lines(
    document: Mapping[str, Any], page: str, address: str, pictures: BatchPictures | None
) -> list[str]:
    """Returns how it ended, and the URLs of its page and its document."""
    counts = document["counts"]
    left = counts["waiting"] + counts["queued"] + counts["running"] + counts["cancelling"]
    deleted = f", {counts['deleted']} deleted" if counts["deleted"] else ""
    fields = [("done", f"{counts['succeeded']} of {document['total']}{deleted}")]
    fields += [(name, str(counts[name])) for name in ("failed", "cancelled") if counts[name]]
    fields += [("missing", str(left))] if left else []
    fields += [("GPU", f"{document['gpu_seconds']:g} s")]
    fields += [(_what(pictures), _pictures_text(pictures))] if pictures is not None else []
    fields += [("page", page), ("API", address)]
    return [f"{document['name']}: {_how(document)}", *_fields(*fields)]


def _how(document: Mapping[str, Any]) -> str:
    if is_past_its_window(document):
        return f"{document['waiting']['detail']} The same command resumes it."
    error = document.get("error")
    return f"{document['status']}. {error['detail']}" if error else str(document["status"])


def _what(pictures: BatchPictures) -> str:
    return "images" if pictures.kinds <= {"image"} else "files"


def _pictures_text(pictures: BatchPictures) -> str:
    parts = [f"{pictures.saved} saved in {pictures.folder}"]
    parts += [f"{pictures.there} were already there"] if pictures.there else []
    parts += [f"{pictures.gone} deleted or expired"] if pictures.gone else []
    parts += [f"{len(pictures.damaged)} arrived damaged"] if pictures.damaged else []
    return ", ".join(parts)


def _fields(*pairs: tuple[str, str]) -> list[str]:
    return [f"  {name:<12}{value}" for name, value in pairs]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
