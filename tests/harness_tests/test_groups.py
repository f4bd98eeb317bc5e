"""Tests that share a stack stay together, and the longest begin first."""

from __future__ import annotations

import pytest

from tests.harness.groups import GROUPS, group_of
from tests.harness.processes import REPOSITORY


@pytest.mark.parametrize("path", [path for paths in GROUPS.values() for path in paths])
def test_what_is_named_is_there(path: str) -> None:
    assert (REPOSITORY / path).exists()


def test_other_tests_stay_with_their_module() -> None:
    one = "tests/web/test_sizes.py::test_one[tests/journeys/]"
    assert group_of(one) == "tests/web/test_sizes.py"


def test_a_run_begins_with_the_groups_and_each_is_whole(request: pytest.FixtureRequest) -> None:
    collected = [group_of(item.nodeid) for item in request.session.items]
    runs = [name for at, name in enumerate(collected) if at == 0 or collected[at - 1] != name]
    shared = [name for name in GROUPS if name in runs]
    assert runs[: len(shared)] == shared
    assert len(runs) == len(set(runs))
