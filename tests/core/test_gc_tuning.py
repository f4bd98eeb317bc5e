"""The collector leaves alone what is there when a process has started."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from core import gc_tuning

MANY = 100_000
"""More objects than Python lets come without collecting, many times over."""


class Node:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


def garbage() -> weakref.ref[Node]:
    return weakref.ref(Node())


def collections() -> int:
    return sum(int(generation["collections"]) for generation in gc.get_stats())


def test_nothing_is_collected_while_it_starts() -> None:
    gc_tuning.starting()
    seen, left = collections(), garbage()

    kept: list[list[object]] = [[] for _ in range(MANY)]

    assert collections() == seen
    assert left() is not None
    assert len(kept) == MANY


def test_what_its_start_left_over_is_freed() -> None:
    gc_tuning.starting()
    left = garbage()

    gc_tuning.started()

    assert left() is None


def test_what_is_there_once_it_has_started_is_left_alone() -> None:
    node = Node()
    there = weakref.ref(node)
    gc_tuning.starting()
    gc_tuning.started()
    del node

    gc.collect()

    assert there() is not None
    gc.unfreeze()
    gc.collect()
    assert there() is None


def test_what_comes_later_is_collected_but_seldom() -> None:
    gc_tuning.starting()
    gc_tuning.started()
    seen, left = collections(), garbage()

    kept: list[list[object]] = [[] for _ in range(5_000)]
    assert collections() == seen  # with Python's own thresholds it would be the seventh

    while left() is not None and len(kept) < 10 * MANY:
        kept.append([])
    assert left() is None
    assert collections() > seen
