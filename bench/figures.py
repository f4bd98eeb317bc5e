"""Small statistics over seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of the table. ``reached`` is None for a figure without a target."""

    name: str
    value: str
    target: str = ""
    reached: bool | None = None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 … 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def ms(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1000:.0f} ms"


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table(title=title)
    for column in ("figure", "measured", "target", "reached"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for figure in figures:
        reached = "" if figure.reached is None else ("yes" if figure.reached else "NO")
        table.add_row(figure.name, figure.value, figure.target, reached)
    Console().print(table)
