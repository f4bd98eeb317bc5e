"""One stack for all journeys: they run in turn, each on a stack that is whole and idle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.shared_stack import allow, shared
from tests.harness.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A journey may wait for restarts and a busy machine: longer than other tests may."""
    allow(items, Path(__file__).parent, 600)


@pytest.fixture(scope="package")
def whole_stack(
    tmp_path_factory: pytest.TempPathFactory, prefect_database: Path, pytestconfig: pytest.Config
) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("easel"), prefect_database)
    with shared(stack, pytestconfig):
        yield stack


@pytest.fixture
def stack(whole_stack: Stack) -> Stack:
    """The stack with every part up, no fault, nothing under way."""
    whole_stack.settle()
    return whole_stack
