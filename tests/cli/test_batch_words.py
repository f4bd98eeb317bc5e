from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from cli.bulk.command import Bulk, interrupted_text
from cli.bulk.create import not_created
from cli.bulk.order import BatchOrder
from cli.bulk.wording import (
    failure_lines,
    plan_lines,
    print_bad_rows,
    skipped_line,
    summary_lines,
    write_report,
)
from cli.client import ApiRefusedError
from core.problems import FieldProblem
from tests.cli.scripted_batches import BATCH, batch, failed_item

BAD = (
    FieldProblem.of_row(3, "steps", "less_than_equal", 'at most 150, "really"'),
    FieldProblem.of_row(0, None, "no_items", "there is nothing to make in [it]"),
)


def test_bad_rows_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_bad_rows(BAD)
    lines = [line.rstrip() for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "row  column  message",
        '  3  steps   at most 150, "really"',
        "             there is nothing to make in [it]",
    ]


def test_no_bad_rows_are_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_bad_rows([])
    assert capsys.readouterr().err == ""


def test_a_report_is_csv(tmp_path: Path) -> None:
    write_report(tmp_path / "bad.csv", BAD)
    assert (tmp_path / "bad.csv").read_text(encoding="utf-8").splitlines() == [
        "row,column,code,message",
        '3,steps,less_than_equal,"at most 150, ""really"""',
        ",,no_items,there is nothing to make in [it]",
    ]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_report_is_a_formula(tmp_path: Path, first: str) -> None:
    row = FieldProblem.of_row(1, f"{first}cmd|'/c calc'!A0", "unknown_column", f"{first}1")
    write_report(tmp_path / "bad.csv", [row])
    with (tmp_path / "bad.csv").open(encoding="utf-8", newline="") as file:
        _, [_, column, _, message] = csv.reader(file)
    assert (column, message) == (f"'{first}cmd|'/c calc'!A0", f"'{first}1")


def test_a_row_with_two_problems_is_one_row() -> None:
    rows = [FieldProblem.of_row(3, "steps", "x", "x"), FieldProblem.of_row(3, "cfg", "x", "x")]
    assert skipped_line(rows, None) == "1 row skipped; --report FILE names them."
    many = [FieldProblem.of_row(row, "cfg", "x", "x") for row in range(1000)]
    assert skipped_line(many, Path("bad.csv")) == "at least 1000 rows skipped; bad.csv names them."


def test_each_reason_is_told_once_with_its_rows() -> None:
    items = [failed_item(number, "no memory") for number in range(7)]
    items.append(failed_item(9, "no node"))
    assert failure_lines(items, 8) == [
        "  7 × no memory (rows 2, 3, 4, 5, 6, …)",
        "  1 × no node (row 11)",
    ]


def test_there_are_ten_reasons_at_most() -> None:
    lines = failure_lines([failed_item(number, f"reason {number}") for number in range(12)], 150)
    assert len(lines) == 11
    assert lines[-1] == "  and 140 more"


def test_a_plan_says_what_would_be_made() -> None:
    sample = {"width": 512, "height": 768, "steps": 12, "cfg": 7.0, "sampler": "euler", "seed": 3}
    plan = {
        "total": 14,
        "seed": 42,
        "models": {"a.safetensors": 13, "b.safetensors": 1},
        "estimated_s": 150.0,
        "samples": [{**sample, "prompt": "a red\nfox"}, {**sample, "prompt": "x" * 200}],
    }
    assert plan_lines(plan, Path("some/animals.csv")) == [
        "animals.csv: 14 generations; nothing was created.",
        "  models      13 × a.safetensors, 1 × b.safetensors",
        "  takes       about 2 minutes",
        "  seed        42 (--seed 42 generates exactly these)",
        "first ones:",
        "  a red fox",
        "      512x768, 12 steps, cfg 7, euler, seed 3",
        f"  {'x' * 99}…",
        "      512x768, 12 steps, cfg 7, euler, seed 3",
    ]
    assert "not known yet" in "\n".join(plan_lines({**plan, "estimated_s": None}, Path("a.csv")))
    told = {"code": "size_rounded", "loc": ["width"], "message": "to 64", "row": 3, "count": 2}
    assert plan_lines({**plan, "warnings": [told]}, Path("a.csv"))[-1] == (
        "warning: width: to 64 (row 3, 2 generations)"
    )


def test_a_plan_of_another_workflow_names_its_values() -> None:
    sample = {"workflow": "film", "words": "a fox", "shift": 4.5, "priority": "bulk"}
    plan = {"total": 1, "seed": 42, "models": {"": 1}, "estimated_s": None, "samples": [sample]}
    assert plan_lines(plan, Path("animals.csv"))[1:] == [
        "  takes       not known yet",
        "  seed        42 (--seed 42 generates exactly these)",
        "first ones:",
        "  film",
        "      words a fox, shift 4.5",
    ]


@pytest.mark.parametrize(
    ("document", "lines"),
    [
        (batch("succeeded", succeeded=4), ["animals: succeeded", "  done        4 of 4"]),
        (
            {
                **batch("failed", succeeded=1, failed=1, cancelled=1, waiting=1),
                "error": {"detail": "Too much failed."},
            },
            [
                "animals: failed. Too much failed.",
                "  done        1 of 4",
                "  failed      1",
                "  cancelled   1",
                "  missing     1",
            ],
        ),
        (
            batch("paused", code="outside_window", succeeded=3, waiting=1),
            [
                "animals: because: outside_window The same command resumes it.",
                "  done        3 of 4",
                "  missing     1",
            ],
        ),
    ],
)
def test_the_end_is_told(document: dict[str, Any], lines: list[str]) -> None:
    where = ["  GPU         1.5 s", "  page        PAGE", "  API         API"]
    assert summary_lines(document, "PAGE", "API", None) == [*lines, *where]


def _interrupted(*, again: bool) -> str:
    wish = Bulk(BatchOrder(Path("a.csv"), {}, again=again), "http://127.0.0.1:1")
    return interrupted_text(wish, BATCH, ["bulk", "my animals.csv", "--again"])


def test_interrupted_it_says_how_to_watch_and_how_to_cancel() -> None:
    said = _interrupted(again=False)
    assert "easel bulk 'my animals.csv'" in said
    assert f"http://127.0.0.1:1/b/{BATCH}" in said
    assert f"curl -X POST http://127.0.0.1:1/api/v1/batches/{BATCH}/cancel" in said


def test_with_again_the_same_command_would_not_watch() -> None:
    assert "easel bulk" not in _interrupted(again=True)


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "said"),
    [
        (422, "idempotency_mismatch", 2, "--again"),
        (413, "payload_too_large", 2, "the detail"),
        (400, "malformed_json", 2, "the detail"),
        (503, "disk_full", 1, "the detail"),
        (404, None, 3, "not as Easel does"),
    ],
)
def test_refusals(status: int, code: str | None, exit_code: int, said: str) -> None:
    error = not_created(ApiRefusedError(status, {"code": code, "detail": "the detail"}), "URL")
    assert error.exit_code == exit_code
    assert said in str(error)


def test_a_query_parameter_is_told_as_the_option_that_it_was() -> None:
    errors = [
        {"loc": ["query", "not_after"], "message": "must be HH:MM"},
        {"loc": ["grid", "cfgg"], "message": "there is no such field"},
    ]
    error = not_created(ApiRefusedError(422, {"code": "invalid_request", "errors": errors}), "URL")
    assert "  --not-after: must be HH:MM\n  grid.cfgg: there is no such field" in str(error)
