"""For all tests: what shares a stack stays together when they run on several workers."""

from __future__ import annotations

import gc
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.harness.databases import prefect_template
from tests.harness.groups import AT_ONCE, GroupScheduling, longest_first
from tests.harness.shared_stack import show_logs

# A machine that stalls for a moment says nothing about the code.
settings.register_profile("easel", deadline=None)
settings.load_profile("easel")


@pytest.hookimpl(optionalhook=True)  # not there with `-p no:xdist`
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return GroupScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return AT_ONCE


@pytest.hookimpl(trylast=True)  # after they were shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    show_logs(item, report)
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Collect no garbage while tests are imported: what is imported stays.

    The controller of pytest-xdist imports none, and would never turn it on again.
    """
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", default=None):
        gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Prefect's database with its tables, made once for all workers of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder if worker_id == "master" else folder.parent
    return prefect_template(shared / "prefect-template")
