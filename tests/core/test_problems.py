"""Problems have one shape, and their codes one table."""

from __future__ import annotations

import re

import pytest

from core.problems import KINDS, Problem, problem


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


def test_a_problem_survives_json() -> None:
    made = problem("node_failed", "it broke", node_id="3", node_class="KSampler", node_message="x")

    assert Problem.model_validate_json(made.model_dump_json(exclude_none=True)) == made
