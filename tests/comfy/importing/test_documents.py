"""Graphs in whatever they are wrapped: the search goes to each part of a document once."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from comfy.importing.documents import find_graphs
from tests.comfy.importing.workflows import API
from tests.harness.steps import steps


def _wrapped(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = {f"own{level}": value}
    return value


def test_each_wrapper_adds_its_own_work_only() -> None:
    empty = {"a": 1, "b": 2}

    assert find_graphs(_wrapped(API, 8)).api == API
    flat = steps(partial(find_graphs, _wrapped(empty, 2)))
    assert steps(partial(find_graphs, _wrapped(empty, 8))) < 6 * flat


def test_texts_that_may_be_documents_are_read_as_long_as_they_are_few() -> None:
    texts = [["{}"] * 20 for _ in range(19)]

    assert find_graphs([*texts[:2], json.dumps(API)]).api == API
    assert find_graphs([*texts, json.dumps(API)]).api is None
