"""For all tests: groups that share one stack stay on one worker of pytest-xdist."""

from __future__ import annotations

import pytest
from _pytest.nodeid import coerce_node_id
from hypothesis import settings

# A machine that stalls for a moment says nothing about the code.
settings.register_profile("easel", deadline=None)
settings.load_profile("easel")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep each group together under ``-n 2 --dist loadgroup``.

    pytest-xdist 3.8 tells the group by writing it behind ``_nodeid``, which pytest 9.2 does not
    read any more: without this, each of its workers would start a stack of its own.
    """
    if not config.getoption("loadgroup", default=False):
        return
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group is not None and "@" not in item.nodeid:
            item._id = coerce_node_id(f"{item.nodeid}@{group.args[0]}")
