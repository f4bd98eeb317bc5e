"""One stack for all cases: they run in turn, each on a stack that is whole and idle."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.house import ChaosStack
from tests.harness.shared_stack import allow, shared

SEED = int(os.environ.get("EASEL_CHAOS_SEED", "1"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A case may wait for leases, restarts and a busy machine: longer than other tests may."""
    allow(items, Path(__file__).parent, 400)


@pytest.fixture(scope="package")
def whole_house(
    tmp_path_factory: pytest.TempPathFactory, prefect_database: Path, pytestconfig: pytest.Config
) -> Iterator[ChaosStack]:
    stack = ChaosStack(tmp_path_factory.mktemp("chaos"), prefect_database)
    with shared(stack, pytestconfig):
        yield stack


@pytest.fixture
def house(whole_house: ChaosStack) -> ChaosStack:
    """The stack with every part up, no fault, nothing under way."""
    whole_house.settle()
    return whole_house


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What the case's details follow from: its name, and EASEL_CHAOS_SEED. A failure shows it."""
    request.node.add_report_section("setup", "seed", f"EASEL_CHAOS_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.name}").randrange(1_000_000)
