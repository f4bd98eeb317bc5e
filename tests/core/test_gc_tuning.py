"""The collector leaves alone what is there when a process has started."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from core import gc_tuning


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


def test_nothing_is_collected_while_it_starts() -> None:
    gc_tuning.starting()

    assert not gc.isenabled()


def test_what_is_there_once_it_has_started_is_left_alone() -> None:
    gc_tuning.starting()
    gc_tuning.started()

    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold() == gc_tuning.THRESHOLDS


def test_what_comes_later_is_collected() -> None:
    class Node:
        """Refers to itself, so that only the collector can free it."""

        def __init__(self) -> None:
            self.me = self

    gc_tuning.started()
    for _ in range(100):
        Node()

    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, Node)]
