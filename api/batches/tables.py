"""A batch's items as labelled tables: one for each row of the manifest, at least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from core.batches.grid import Grid
from core.requests import ResolvedRequest
from store.values import BatchItem

CELLS_MAX: Final = 400
"""The most cells of one row of the manifest that are shown as tables, empty ones too."""


@dataclass(frozen=True)
class Line:
    """One row of a table: its label, and the item of each column; None where none was made."""

    label: str
    items: tuple[BatchItem | None, ...]


@dataclass(frozen=True)
class Table:
    """The items of one row of the manifest, or some of them, by the axes of the grid."""

    row: int
    caption: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def tables(grid: Grid, items: Sequence[BatchItem]) -> list[Table]:
    """Returns the tables of items that are in the manifest's order, with all of each row.

    Items that are alike (``count``) fill the free side of a grid with one axis; else each of them
    has a table.
    """
    sizes = {(one.width, one.height) for one in _requests(items)}
    made: list[Table] = []
    for row, group in groupby(items, key=lambda item: item.row):
        made += _tables_of_row(grid, row, list(group), says_size=len(sizes) > 1)
    return made


def _tables_of_row(grid: Grid, row: int, items: list[BatchItem], *, says_size: bool) -> list[Table]:
    found: dict[tuple[int, int, int, int], BatchItem] = {}
    times: Counter[int] = Counter()
    for item in items:
        if item.combination is None or item.combination >= grid.size:
            continue  # of another version: it has no place
        place = grid.place(item.combination)
        found[place.table, times[item.combination], place.row, place.column] = item
        times[item.combination] += 1
    most = max(times.values(), default=0)
    columns, rows, count = grid.columns, grid.rows, most
    if most > 1 and len(grid.tables) == 1:
        alike = tuple(f"{number} of {most}" for number in range(1, most + 1))
        if rows == ("",):
            found = {
                (table, 0, copy, column): one for (table, copy, _, column), one in found.items()
            }
            rows, count = alike, 1
        elif columns == ("",):
            found = {(table, 0, line, copy): one for (table, copy, line, _), one in found.items()}
            columns, count = alike, 1
    made: list[Table] = []
    for number, table_label in enumerate(grid.tables):
        for copy in range(count):
            lines = tuple(
                Line(text, tuple(found.get((number, copy, line, at)) for at in range(len(columns))))
                for line, text in enumerate(rows)
            )
            shown = [one for line in lines for one in line.items if one is not None]
            parts = [
                *_what(shown, says_size=says_size),
                table_label,
                f"{copy + 1} of {count}" if count > 1 else "",
            ]
            made.append(Table(row, " · ".join(filter(None, parts)), columns, lines))
    return made


def _what(items: Iterable[BatchItem], *, says_size: bool) -> list[str]:
    """Returns what all items have in common and a caption says: their prompt, their size."""
    prompts: set[str] = set()
    sizes: set[str] = set()
    for request in _requests(items):
        prompts.add(request.prompt)
        sizes.add(f"{request.width} × {request.height}")
    said = (prompts, sizes) if says_size else (prompts,)
    return [next(iter(values)) for values in said if len(values) == 1]


def _requests(items: Iterable[BatchItem]) -> Iterator[ResolvedRequest]:
    return (item.request for item in items if isinstance(item.request, ResolvedRequest))
