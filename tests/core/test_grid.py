"""A grid's combinations: their numbers, their values, their places in tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy import TXT2IMG
from core.batches.expansion import Item, expand
from core.batches.grid import Grid, Place, label, read_grid
from core.batches.lists import read_lists
from core.batches.request import BatchRequest
from tests.inputs import picked


def grid_of(combine: str = "product", **axes: list[Any]) -> Grid:
    grid = Grid.of(BatchRequest.model_validate({"combine": combine, "grid": axes}))
    assert grid is not None
    return grid


@pytest.mark.parametrize(
    "grid",
    [
        grid_of(cfg=[1, 2, 3]),
        grid_of(cfg=[1, 2, 3], steps=[4, 5], sampler=["euler", "ddim"], seed=[0]),
        grid_of(prompt=["a fox", "an owl"], cfg=[1, 2, 3], steps=[4, 5]),
        grid_of("zip", cfg=[1, 2, 3], steps=[4, 5, 6]),
        grid_of("zip", prompt=["a fox", "an owl"], steps=[4, 5]),
    ],
)
def test_every_combination_has_its_values_and_a_place_of_its_own(grid: Grid) -> None:
    assert [grid.combination(number) for number in range(grid.size)] == [*grid.combinations()]
    places = {grid.place(number) for number in range(grid.size)}
    assert len(places) == grid.size
    for place in places:
        assert place.table < len(grid.tables)
        assert place.row < len(grid.rows)
        assert place.column < len(grid.columns)
    for number in (-1, grid.size):
        with pytest.raises(IndexError):
            grid.combination(number)
        with pytest.raises(IndexError):
            grid.place(number)


def test_labels_stand_where_the_combinations_do() -> None:
    grid = grid_of(cfg=[4.5, 8.0], sampler=["euler", "ddim"], steps=[20, 30])

    assert grid.columns == ("CFG 4.5", "CFG 8")
    assert grid.rows == ("Sampler euler", "Sampler ddim")
    assert grid.tables == ("Steps 20", "Steps 30")
    found = next(
        number
        for number in range(grid.size)
        if grid.combination(number) == {"cfg": 8.0, "sampler": "euler", "steps": 30}
    )
    assert grid.place(found) == Place(table=1, row=0, column=1)


def test_labels_are_short() -> None:
    assert len(label({"prompt": "x" * 10_000})) < 300
    assert label({"width": 512, "height": 768}) == "512 × 768"
    assert label({"inputs.priority": 5}) == "Priority 5"
    assert label({"model": "flux/dev.safetensors", "cfg": 7.0}) == "dev, CFG 7"
    loras = [{"name": "styles/ink.safetensors", "strength": 0.8}, {"name": "grain.safetensors"}]
    assert label({"loras": loras}) == "LoRAs ink 0.8, grain"
    assert label({"loras": [], "cfg": 7.0}) == "LoRAs none, CFG 7"
    assert label({"sides": [1, {"a": True}]}) == 'Sides 1, {"a":true}'


def test_items_know_their_combination_whatever_is_left_out(tmp_path: Path) -> None:
    request = BatchRequest.model_validate(
        {
            "items": [{"prompt": "a {red|silver} fox", "count": 2}, {"prompt": "an owl"}],
            "grid": {"width": [512, 513, 520], "steps": [2, 3]},
        }
    )
    grid = Grid.of(request)
    assert grid is not None

    made = [
        item
        for item in expand(request, None, 7, read_lists(tmp_path), TXT2IMG)
        if isinstance(item, Item)
    ]

    assert [(item.row, item.combination) for item in made] == [
        *[(1, 0), (1, 0), (1, 1), (1, 1), (1, 4), (1, 4), (1, 5), (1, 5)],
        *[(2, 0), (2, 1), (2, 4), (2, 5)],
    ]
    for item in made:
        assert item.combination is not None
        values = grid.combination(item.combination)
        assert picked(item.request, "width", "steps") == (
            values["width"],
            values["steps"],
        )


def test_items_without_a_grid_have_no_combination(tmp_path: Path) -> None:
    request = BatchRequest.model_validate({"items": [{"prompt": "a fox"}]})

    assert Grid.of(request) is None
    [made] = expand(request, None, 7, read_lists(tmp_path), TXT2IMG)
    assert isinstance(made, Item)
    assert made.combination is None


@pytest.mark.parametrize(
    "stored", [None, [], {"combine": "product"}, {"combine": "product", "axes": []}, "x"]
)
def test_an_unreadable_grid_is_none(stored: Any) -> None:
    assert read_grid(stored) is None


def test_lists_of_a_zip_that_differ_are_unreadable() -> None:
    axes = [{"field": "cfg", "values": [1]}, {"field": "steps", "values": [2, 3]}]
    assert read_grid({"combine": "zip", "axes": axes}) is None
