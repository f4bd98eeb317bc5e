"""A batch's grid as it is kept: its axes, and where each combination stands in a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from core.batches.columns import INPUTS_PREFIX
from core.batches.request import FlowBatchRequest
from core.stored import read_stored
from core.wording import model_name

_TEXTS: Final = ("prompt", "negative_prompt")
"""Fields whose values are long: they name rows of a table rather than columns."""
_WORDS: Final = {"cfg": "CFG", "init_image": "Start image", "loras": "LoRAs", "vae": "VAE"}
LABEL_MAX: Final = 200
"""Characters of a value in a label: an item's request has the rest."""


KEPT_BYTES_MAX: Final = 65_536
"""Size of a grid's axes that are kept with the batch: they are read whenever the batch is."""


class Axis(BaseModel):
    """One field of the request, and the values that it takes in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str = Field(description="The field of the request.")
    values: Annotated[tuple[Any, ...], Field(min_length=1)] = Field(
        description="Its values, in order."
    )


@dataclass(frozen=True)
class Place:
    """Where a combination stands: in which table, which of its rows, which of its columns."""

    table: int
    row: int
    column: int


_Side = tuple[Axis, ...]


class Grid(BaseModel):
    """The axes of a batch's grid.

    Combinations are numbered from 0 in the order of expansion: the last axis turns fastest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    combine: Literal["product", "zip"]
    axes: Annotated[tuple[Axis, ...], Field(min_length=1)]

    @classmethod
    def of(cls, request: FlowBatchRequest) -> Grid | None:
        """Returns the grid of a request, None if it has none."""
        if not request.grid:
            return None
        axes = tuple(
            Axis(field=field, values=tuple(values)) for field, values in request.grid.items()
        )
        return cls(combine=request.combine, axes=axes)

    @property
    def kept(self) -> Grid | None:
        """Returns the grid if it can be kept with its batch and is small enough, else None."""
        try:
            size = len(self.model_dump_json().encode())
        except PydanticSerializationError:  # half a character: no item with it is valid
            return None
        return self if size <= KEPT_BYTES_MAX else None

    @property
    def size(self) -> int:
        """Returns the number of combinations."""
        if self.combine == "zip":
            return len(self.axes[0].values)
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def compares_settings(self) -> bool:
        """Returns whether an axis is something else than a text."""
        return any(axis.field not in _TEXTS for axis in self.axes)

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yields each combination as fields of a request, in order."""
        return _lots(self.axes, self.combine)

    def combination(self, number: int) -> dict[str, Any]:
        """Returns the values of combination ``number``. Raises IndexError."""
        if not 0 <= number < self.size:
            raise IndexError(f"a grid of {self.size} has no combination {number}")
        if self.combine == "zip":
            return {axis.field: axis.values[number] for axis in self.axes}
        found: dict[str, Any] = {}
        for axis in reversed(self.axes):
            number, index = divmod(number, len(axis.values))
            found[axis.field] = axis.values[index]
        return {axis.field: found[axis.field] for axis in self.axes}

    # --- as tables

    @property
    def columns(self) -> tuple[str, ...]:
        """Returns the label of each column of a table; one that is empty without such an axis."""
        return self._labels(self._sides[0])

    @property
    def rows(self) -> tuple[str, ...]:
        """Returns the label of each row of a table; one that is empty without such an axis."""
        return self._labels(self._sides[1])

    @property
    def tables(self) -> tuple[str, ...]:
        """Returns the label of each table; one that is empty for two axes at most."""
        return self._labels(self._sides[2])

    def place(self, number: int) -> Place:
        """Returns where combination ``number`` stands. Raises IndexError."""
        if not 0 <= number < self.size:
            raise IndexError(f"a grid of {self.size} has no combination {number}")
        across, down, others = self._sides
        if self.combine == "zip":
            return Place(0, 0, number) if across else Place(0, number, 0)
        indices: dict[str, int] = {}
        for axis in reversed(self.axes):
            number, indices[axis.field] = divmod(number, len(axis.values))
        return Place(_index(others, indices), _index(down, indices), _index(across, indices))

    @property
    def _sides(self) -> tuple[_Side, _Side, _Side]:
        """Returns the axes that run across, those that run down, and those of further tables.

        The first axis runs across and the second down; but a text, being long, runs down. The
        axes of a ``zip`` are one side.
        """
        first, *rest = self.axes
        is_text = first.field in _TEXTS
        if self.combine == "zip":
            return ((), self.axes, ()) if is_text else (self.axes, (), ())
        second, others = tuple(rest[:1]), tuple(rest[1:])
        return (second, (first,), others) if is_text else ((first,), second, others)

    def _labels(self, side: _Side) -> tuple[str, ...]:
        if not side:
            return ("",)
        lots = _lots(side, self.combine)
        return tuple(label(lot) for lot in lots)


def label(fields: Mapping[str, Any]) -> str:
    """Returns what a part of a table shows: "CFG 4.5", "Sampler euler", "512 × 768", "a fox"."""
    left = dict(fields)
    said = []
    if "width" in left and "height" in left:
        said.append(f"{left.pop('width')} × {left.pop('height')}")
    for field, value in left.items():
        text = _text(value)
        if field == "model":
            said.append(model_name(text))
        else:
            said.append(text if field in _TEXTS else f"{_word(field)} {text}")
    return ", ".join(said)


def _word(field: str) -> str:
    field = field.removeprefix(INPUTS_PREFIX)
    return _WORDS.get(field, field.replace("_", " ").capitalize())


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list | tuple):
        text = ", ".join(map(_entry, value)) or "none"
    else:
        text = value if isinstance(value, str) else to_json(value).decode()
    return f"{text[:LABEL_MAX]}…" if len(text) > LABEL_MAX else text


def _entry(value: Any) -> str:
    """Returns an entry of a list; of one that has a name and a strength, as LoRAs do, these."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        return value if isinstance(value, str) else to_json(value).decode()
    strength = value.get("strength")
    name = model_name(value["name"])
    is_number = isinstance(strength, int | float) and not isinstance(strength, bool)
    return f"{name} {strength:g}" if is_number else name


def _lots(axes: _Side, combine: Literal["product", "zip"]) -> Iterator[dict[str, Any]]:
    values = (axis.values for axis in axes)
    lots = zip(*values, strict=True) if combine == "zip" else product(*values)
    return (dict(zip((axis.field for axis in axes), lot, strict=True)) for lot in lots)


def _index(side: _Side, indices: Mapping[str, int]) -> int:
    found = 0
    for axis in side:
        found = found * len(axis.values) + indices[axis.field]
    return found


def read_grid(stored: Any) -> Grid | None:
    """Reads a batch's stored grid; None if there is none, or none that this version can read."""
    if stored is None:
        return None
    try:
        grid = read_stored(Grid, stored)
    except ValidationError:
        return None
    lengths = {len(axis.values) for axis in grid.axes}
    return grid if grid.combine == "product" or len(lengths) == 1 else None
