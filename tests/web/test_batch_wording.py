from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from core.problems import FieldProblem, problem
from web.batches.wording import (
    counted,
    factors_line,
    made_count,
    makes_line,
    problem_lines,
    rows_with_problems,
)


def test_images() -> None:
    assert [counted(number) for number in (1, 2, 20_000)] == [
        "1 image",
        "2 images",
        "20,000 images",
    ]


@pytest.mark.parametrize(
    ("factors", "count", "zipped", "said"),
    [
        ({"prompt": 1}, 1, False, "1 image"),
        ({"prompt": 1}, 4, False, "4 images"),
        ({"model": 2, "steps": 3}, 1, False, "2 models × 3 step counts = 6 images"),
        ({"model": 2, "steps": 1}, 5, False, "2 models × 5 each = 10 images"),
        ({"model": 3, "steps": 3}, 2, True, "3 paired × 2 each = 6 images"),
        ({"model": 3}, 2, True, "3 models × 2 each = 6 images"),
    ],
)
def test_what_a_grid_multiplies(
    factors: dict[str, int], count: int, zipped: bool, said: str
) -> None:
    assert factors_line(factors, count, zipped=zipped) == said


def test_lists_that_are_paired_must_be_equally_long() -> None:
    assert "same number" in factors_line({"model": 2, "steps": 3}, 1, zipped=True)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([3], "1 row has problems"),
        ([3, 3, 4], "2 rows have problems"),
        ([0], "The file has problems"),
        (range(1, 101), "100 rows or more have problems"),
    ],
)
def test_rows_with_problems_are_counted(rows: Iterable[int], said: str) -> None:
    errors = [FieldProblem.of_row(row, None, "x", "m") for row in rows]
    assert rows_with_problems(problem("invalid_manifest", "detail", errors=errors)) == said


def test_mistakes_name_row_and_column() -> None:
    places: list[tuple[int, str | None]] = [(3, "steps"), (4, None), (0, None)]
    errors = [FieldProblem.of_row(row, column, "x", "m") for row, column in places]
    found = problem("invalid_manifest", "detail", errors=errors)
    assert [where for where, _ in problem_lines(found, rows=True)] == ["Row 3, steps", "Row 4", ""]
    assert [where for where, _ in problem_lines(found, rows=False)] == ["Steps", "", ""]


@pytest.mark.parametrize(
    ("batch", "said", "number"),
    [
        ({"defaults": {"prompt": "a fox"}}, "“a fox”", 1),
        ({"defaults": {"prompt": "a fox"}, "count": 4}, "“a fox”", 4),
        ({"grid": {"prompt": ["a", "b", "c"], "steps": [1, 2]}}, "“a” and 2 more", 6),
        ({"grid": {"prompt": ["a", "b"], "steps": [1, 2]}, "combine": "zip"}, "“a” and 1 more", 2),
        ({"items": [{"prompt": "a"}, {"prompt": "b", "count": 3}]}, "“a” and 1 more", 4),
        ({"items": [{"prompt": "a", "count": "x"}]}, "“a”", None),
        ({}, "No prompt", 1),
        ({"grid": 1, "items": {}, "defaults": []}, "No prompt", 1),
    ],
)
def test_what_a_schedule_makes(batch: dict[str, Any], said: str, number: int | None) -> None:
    assert makes_line(batch) == said
    assert made_count(batch) == number
