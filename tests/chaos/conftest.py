"""One stack for all cases: they run in turn, each on a stack that is whole and idle."""

from __future__ import annotations

import os
import random
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.chaos.house import ChaosStack

_running = pytest.StashKey[ChaosStack]()
HERE = Path(__file__).parent
SEED = int(os.environ.get("EASEL_CHAOS_SEED", "1"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A case may wait for leases, restarts and a busy machine: longer than other tests may."""
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="package")
def whole_house(
    tmp_path_factory: pytest.TempPathFactory, prefect_database: Path, pytestconfig: pytest.Config
) -> Iterator[ChaosStack]:
    stack = ChaosStack(tmp_path_factory.mktemp("chaos"), prefect_database)
    pytestconfig.stash[_running] = stack
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def house(whole_house: ChaosStack) -> ChaosStack:
    """The stack with every part up, no fault, nothing under way."""
    whole_house.settle()
    return whole_house


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What the case's details follow from: its name, and EASEL_CHAOS_SEED."""
    return random.Random(f"{SEED} {request.node.name}").randrange(1_000_000)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A case that fails shows its seed and what the parts said."""
    report = yield
    stack = item.config.stash.get(_running, None)
    if report.failed and stack is not None:
        report.sections.append(("seed", f"EASEL_CHAOS_SEED={SEED}"))
        report.sections.extend(stack.tails())
    return report
