"""A stack that the tests of a folder share: it runs while they do, and a failure shows its logs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:  # Prefect comes with it, which most tests do without
    from tests.harness.stack import Stack

_SHARED: Final[pytest.StashKey[Stack]] = pytest.StashKey()


@contextmanager
def shared(stack: Stack, config: pytest.Config) -> Iterator[None]:
    """Start a stack, and stop it after the last test; until then ``show_logs`` knows it."""
    before = config.stash.get(_SHARED, None)  # a module may have one beside its folder's
    config.stash[_SHARED] = stack
    try:
        stack.start()
        yield
    finally:
        stack.stop()
    del config.stash[_SHARED]
    if before is not None:
        config.stash[_SHARED] = before


def show_logs(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add the end of each part's log to the report of a test that failed."""
    stack = item.config.stash.get(_SHARED, None)
    if report.failed and stack is not None:
        report.sections.extend(stack.tails())


def allow(items: list[pytest.Item], folder: Path, seconds: float) -> None:
    """Let the tests in a folder take so long, except those that have a limit of their own."""
    for item in items:
        if item.path.is_relative_to(folder) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(seconds))
