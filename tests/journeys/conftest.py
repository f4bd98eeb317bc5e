"""One stack for all journeys: they run in turn, each on a stack that is whole and idle."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.harness.stack import Stack

_running = pytest.StashKey[Stack]()
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A journey may wait for restarts and a busy machine: longer than other tests may."""
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="package")
def whole_stack(
    tmp_path_factory: pytest.TempPathFactory, prefect_database: Path, pytestconfig: pytest.Config
) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("easel"), prefect_database)
    pytestconfig.stash[_running] = stack
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def stack(whole_stack: Stack) -> Stack:
    """The stack with every part up, no fault, nothing under way."""
    whole_stack.settle()
    return whole_stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A journey that fails shows what the parts said."""
    report = yield
    stack = item.config.stash.get(_running, None)
    if report.failed and stack is not None:
        report.sections.extend(stack.tails())
    return report
