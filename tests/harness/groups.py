"""Which tests share a worker of pytest-xdist, and which of them begin first.

What shares a stack, a Prefect server or a browser stays together, and so does every other test
module. The longest begin first: whatever begins last is what a run waits for at its end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

AT_ONCE: Final = min(8, 2 * (os.cpu_count() or 1))
"""Workers of ``-n auto``. More than cores, for many tests wait for what they have started."""
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "journeys of many": (
        "tests/journeys/test_batches.py",
        "tests/journeys/test_from_prefect.py",
        "tests/journeys/test_many_at_once.py",
        "tests/journeys/test_schedules.py",
    ),
    # They take the pool of their stack over, or have a stack of their own.
    "two stores": (
        "tests/journeys/test_two_stores.py",
        "tests/journeys/test_password.py",
        "tests/journeys/test_workflows.py",
    ),
    "journeys": ("tests/journeys/",),
    "chaos": (
        "tests/chaos/test_api.py",
        "tests/chaos/test_batches.py",
        "tests/chaos/test_client.py",
        "tests/chaos/test_clock.py",
        "tests/chaos/test_comfyui.py",
        "tests/chaos/test_prefect.py",
        "tests/chaos/test_store.py",
        "tests/chaos/test_worker.py",
    ),
    "browser": ("tests/browser/",),
    "easel up": ("tests/cli/test_up.py",),
    "prefect server": (
        "tests/flows/test_pauses.py",
        "tests/flows/test_gate.py",
        "tests/flows/test_foreign_runs.py",
        "tests/flows/test_joining.py",
        "tests/flows/test_leading.py",
        "tests/flows/test_leading_plainly.py",
        "tests/flows/test_accounts.py",
        "tests/flows/test_accounts_interrupted.py",
        "tests/flows/test_endpoint.py",
        "tests/flows/test_operators.py",
        "tests/flows/test_events.py",
        "tests/flows/private/",
        "tests/flows/test_pool_owner.py",
        "tests/flows/test_server_door.py",
        "tests/flows/test_schedules.py",
        "tests/flows/test_server_events.py",
        "tests/flows/test_server_retention.py",
        "tests/flows/test_workflow_deployments.py",
    ),
}
"""Each group with where its tests are, the longest first."""


def group_of(nodeid: str) -> str:
    """The group of a test: one of ``GROUPS``, or its module."""
    module = nodeid.partition("::")[0]
    return next((name for name, paths in GROUPS.items() if module.startswith(paths)), module)


def longest_first(items: list[pytest.Item]) -> None:
    """Put the tests of each group together: ``GROUPS`` in their order, then those of most tests."""
    places = {name: place for place, name in enumerate(GROUPS)}
    sizes = Counter(group_of(item.nodeid) for item in items)

    def place(item: pytest.Item) -> tuple[int, int]:
        group = group_of(item.nodeid)
        return places.get(group, len(places)), -sizes[group]

    items.sort(key=place)


class GroupScheduling(LoadScopeScheduling):
    """Gives whole groups to workers, in the order in which they were collected."""

    def schedule(self) -> None:
        """Begin, or go on."""
        self.config.option.loadscopereorder = False  # else by the number of tests
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
