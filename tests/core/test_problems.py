"""Problems have one shape, and their codes one table."""

from __future__ import annotations

import re

import pytest

from core.problems import KINDS, FieldProblem, Problem, problem


@pytest.mark.parametrize("code", KINDS)
def test_every_code_has_a_title_and_a_status(code: str) -> None:
    kind = KINDS[code]

    assert kind.code == code
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
    assert kind.title
    assert not kind.title.endswith(".")
    assert 400 <= kind.http_status <= 599


@pytest.mark.parametrize("code", KINDS)
def test_a_problem_takes_its_title_and_status_from_the_table(code: str) -> None:
    kind, made = KINDS[code], problem(code, "because")

    assert (made.code, made.title, made.status) == (code, kind.title, kind.http_status)
    assert made.type == f"urn:easel:problem:{code}"
    assert made.detail == "because"
    assert made.errors == []


def test_no_two_kinds_share_a_title() -> None:
    assert len({kind.title for kind in KINDS.values()}) == len(KINDS)


def test_an_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        problem("no_such_code", "because")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (FieldProblem((), "x", "no"), "no"),
        (FieldProblem(("items", 0, "steps"), "x", "no"), "items.0.steps: no"),
        (FieldProblem.of_row(3, "steps", "x", "no"), "row 3, steps: no"),
        (FieldProblem.of_row(3, None, "x", "no"), "row 3: no"),
        (FieldProblem(("row",), "extra_forbidden", "no"), "row: no"),
        (
            FieldProblem.of_node("3", "KSampler", "steps", "x", "no"),
            "KSampler (node 3), input steps: no",
        ),
        (FieldProblem.of_node("3", "", "", "x", "no"), "node (node 3): no"),
        (FieldProblem.of_node("", "", "steps", "x", "no"), "input steps: no"),
        (FieldProblem.of_node("", "", "", "x", "no"), "no"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(found: FieldProblem, said: str) -> None:
    assert str(found) == said


def test_a_row_is_told_apart_from_its_column() -> None:
    whole, column = FieldProblem.of_row(3, None, "x", "no"), FieldProblem.of_row(3, "a", "x", "no")

    assert [(one.row, one.column) for one in (whole, column)] == [(3, None), (3, "a")]
    assert [one.loc for one in (whole, column)] == [("row", 3), ("row", 3, "a")]


def test_what_is_wrong_with_fields_survives_json() -> None:
    errors = [
        FieldProblem(("items", 0, "steps"), "x", "no"),
        FieldProblem.of_row(3, "a", "x", "no"),
    ]
    made = problem("invalid_manifest", "because", errors=errors)

    text = made.model_dump_json(exclude_none=True)

    assert '"errors":[{"loc":["items",0,"steps"],"code":"x","message":"no"}' in text
    assert Problem.model_validate_json(text) == made


def test_a_problem_survives_json() -> None:
    made = problem("node_failed", "it broke", node_id="3", node_class="KSampler", node_message="x")

    assert Problem.model_validate_json(made.model_dump_json(exclude_none=True)) == made
