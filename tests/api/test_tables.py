"""The captions of a batch's tables say only what is true of all that is below them."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

import pytest

from api.batches.tables import tables
from core.batches.grid import Axis, Grid
from core.requests import ResolvedRequest
from store.values import BatchItem

GRID: Final = Grid(combine="product", axes=(Axis(field="cfg", values=(4.5, 7)),))


def an_item(position: int, row: int, combination: int, **request: Any) -> BatchItem:
    given = {"prompt": "a fox", "width": 512, "height": 512, **request}
    made = ResolvedRequest(**given, priority="bulk", timeout_s=600, metadata={})
    return BatchItem(position, row, combination, uuid4(), made, generation=None, again=False)


@pytest.mark.parametrize(
    ("others", "captions"),
    [
        ({}, ["a fox", "a fox"]),
        ({"width": 1024}, ["a fox · 512 × 512", "a fox"]),
        ({"prompt": "an owl"}, ["a fox", ""]),
    ],
)
def test_a_caption_is_of_all(others: dict[str, Any], captions: list[str]) -> None:
    items = [
        an_item(0, 1, 0),
        an_item(1, 1, 1),
        an_item(2, 2, 0),
        an_item(3, 2, 1, **others),
    ]
    found = tables(GRID, items)
    assert [table.caption for table in found] == captions
    assert [table.columns for table in found] == [("CFG 4.5", "CFG 7")] * 2
