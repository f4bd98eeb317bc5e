"""From a batch's request to its items: rows times grid times count, wildcards drawn, validated.

Pure and lazy, but for a list's file, which is read when a prompt first names it. Everything follows
from the request, its rows, the lists and the batch's seed, so every pass over a batch yields the
same items.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from core.batches.columns import COUNT, METADATA_PREFIX, CellError, Columns, with_paths
from core.batches.drawing import draw
from core.batches.grid import Grid
from core.batches.lists import Lists
from core.batches.manifest import ROW_PROBLEMS_MAX, Row, shown
from core.batches.request import BATCH_ITEMS_MAX, Count, FlowBatchRequest
from core.batches.wildcards import WildcardError, parse
from core.callbacks.callback import CALLBACK_FIELDS, RECEIVER_FIELDS
from core.fields import SEED_MAX, later_seed
from core.invalid import problems_of, words
from core.problems import FieldProblem
from core.requests import ENVELOPE, INPUTS, GenerationRequest, gathered, read_request_of
from core.workflows.declaration import Input, Role, Workflow

STRETCH: Final = 200
"""How many consecutive items are grouped by model."""
_TEMPLATES: Final[tuple[Role, ...]] = ("prompt", "negative_prompt")
"""Roles of the inputs whose wildcards are expanded."""
_COUNT: Final = TypeAdapter[int](Count)
_T = TypeVar("_T")
_Fields = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One generation of a batch. ``position`` counts from 0, ``row`` is its row's number.

    ``combination`` is the number of the grid's combination (see ``Grid``), None without a grid.
    """

    position: int
    row: int
    combination: int | None
    request: GenerationRequest


def expand(
    request: FlowBatchRequest,
    rows: Iterable[Row | FieldProblem] | None,
    seed: int,
    lists: Lists,
    workflow: Workflow,
) -> Iterator[Item | FieldProblem]:
    """The batch's items in order, and its problems, each once for its row.

    All of them are requests for ``workflow``.

    ``rows`` are those of a file; they replace ``items``. Positions count the valid items.
    ``random.Random(f"{seed}:{position}")`` is an item's only source of randomness: its first number
    is the item's seed, the next ones draw the prompt and then the negative prompt, then what
    further seeds the workflow has. A seed of the
    item's own is that of the first of its ``count``, and grows by one with each other. The cells of
    a row's grid share the randomness of its first cell, unless ``vary_seed`` is set. A problem
    ``too_many_items`` ends the iteration after the last generation, valid or not, that a batch may
    have.
    """
    asked = position = 0
    grid = Grid.of(request)
    shares = grid is not None and not request.vary_seed
    maker = _Maker(workflow, lists if request.wildcards else None)
    for row in _rows(request) if rows is None else rows:
        if isinstance(row, FieldProblem):
            yield row
            continue
        known: set[FieldProblem] = set()
        first = position
        for combination, number, fields in maker.generations(request, row, grid):
            if asked == BATCH_ITEMS_MAX:
                yield _too_many(row)
                return
            asked += 1
            place = first + number if shares else position
            chance = random.Random(f"{seed}:{place}")  # noqa: S311 - repeatable on purpose
            made = maker.made(row.number, fields, chance)
            if isinstance(made, GenerationRequest):
                yield Item(position, row.number, combination, made)
                position += 1
            else:
                yield from (problem for problem in made if problem not in known)
                known.update(made)


def grouped(
    items: Iterable[_T], model_of: Callable[[_T], str], within: int = STRETCH
) -> Iterator[tuple[int, _T]]:
    """Yields the items grouped by model, numbered from 0: a model is loaded once for many of them.

    In each block of ``within`` consecutive items, those of one model come together: first those of
    the model that the previous block ended with, then the others by their first occurrence. No item
    leaves its block.
    """
    return enumerate(chain.from_iterable(_stretches(iter(items), model_of, within)))


def _stretches(
    items: Iterator[_T], model_of: Callable[[_T], str], within: int
) -> Iterator[Iterable[_T]]:
    last: str | None = None
    while stretch := list(islice(items, within)):
        models: dict[str | None, list[_T]] = {}
        for item in stretch:
            models.setdefault(model_of(item), []).append(item)
        first = models.pop(last, [])
        yield chain(first, *models.values())
        last = next(reversed(models), last)


def _rows(request: FlowBatchRequest) -> Iterator[Row]:
    items = [{}] if request.items is None else request.items
    return (Row(number, fields) for number, fields in enumerate(items, 1))


@dataclass(frozen=True)
class _Maker:
    """Makes the requests of a batch. Without ``lists`` prompts are literal."""

    workflow: Workflow
    lists: Lists | None

    @cached_property
    def columns(self) -> Columns:
        return Columns(self.workflow)

    @cached_property
    def seed(self) -> str | None:
        """The input that each item of a row has another value of."""
        one = self.workflow.of_role("seed")
        return None if one is None else one.name

    @cached_property
    def other_seeds(self) -> tuple[Input, ...]:
        inputs = self.workflow.inputs
        return tuple(one for one in inputs if one.type == "seed" and one.name != self.seed)

    def generations(
        self, request: FlowBatchRequest, row: Row, grid: Grid | None
    ) -> Iterator[tuple[int | None, int, _Fields]]:
        """Yields each generation of a row: combination, number among its ``count``, and fields.

        A ``count`` that remains in them is invalid.
        """
        own = _gathered(row.fields)
        times = 1
        with suppress(ValidationError):
            count = own.get("count")
            times = _COUNT.validate_python(request.count if count is None else count, strict=True)
            own.pop("count", None)
        first = {"priority": "bulk", "workflow": self.workflow.name}
        defaults = _gathered(request.defaults)
        for combination, values in _combinations(grid):
            fields = _merged(first, defaults, own)
            fields = self._with_cell(fields, values)
            for number in range(times):
                yield combination, number, self._with_seed_of(fields, number)

    def _with_cell(self, fields: _Fields, values: _Fields) -> _Fields:
        paths = {name: value for name, value in values.items() if self.columns.is_path(name)}
        plain = {name: value for name, value in values.items() if name not in paths}
        merged = _merged(fields, _gathered(plain))
        if not paths:
            return merged
        inputs = _mapping(merged.get(INPUTS))
        with suppress(CellError):  # else the schema refuses the name
            return {**merged, INPUTS: with_paths(inputs, paths)}
        return {**merged, INPUTS: {**inputs, **paths}}

    def _with_seed_of(self, fields: _Fields, number: int) -> _Fields:
        """Returns the fields of the generation ``number`` of those alike but for the seed.

        A seed of their own is that of the first; the others have the next ones.
        """
        if self.seed is None:
            return fields
        inputs, most = _mapping(fields.get(INPUTS)), self.workflow.by_name[self.seed].seed_max
        seed = inputs.get(self.seed)
        if type(seed) is int and 0 <= seed <= most:
            return {**fields, INPUTS: {**inputs, self.seed: later_seed(seed, number, most)}}
        return fields

    def made(
        self, row: int, fields: _Fields, chance: random.Random
    ) -> GenerationRequest | list[FieldProblem]:
        """Returns the request or each column's first problem."""
        problems: list[FieldProblem] = []
        filled = dict(fields)
        if "count" in filled:
            problems += _count_problems(row, filled.pop("count"))
        if filled.get("workflow") != self.workflow.name:
            problems.append(_other_workflow(row, self.workflow.name))
            filled["workflow"] = self.workflow.name
        inputs = dict(_mapping(filled.get(INPUTS)))
        drawn = int(chance.random() * (SEED_MAX + 1))
        if self.seed is not None and not _is_seed(inputs.get(self.seed)):
            inputs[self.seed] = self._drawn(self.workflow.by_name[self.seed], drawn)
        if self.lists is not None:
            problems += self._draw_texts(row, inputs, chance, self.lists)
        for one in self.other_seeds:
            if not _is_seed(inputs.get(one.name)):
                inputs[one.name] = self._drawn(one, int(chance.random() * (SEED_MAX + 1)))
        if isinstance(filled.get(INPUTS), Mapping | None):
            filled[INPUTS] = inputs
        try:
            made = read_request_of(GenerationRequest, filled, self.workflow)
        except ValidationError as error:
            problems += _field_problems(row, error, self.columns)
        else:
            if not problems:
                return made
        return _one_a_column(problems)

    def _drawn(self, one: Input, seed: int) -> int:
        return seed % (one.seed_max + 1)

    def _draw_texts(
        self, row: int, inputs: _Fields, chance: random.Random, lists: Lists
    ) -> Iterator[FieldProblem]:
        """Replaces templates by drawn texts; what is not a string is left to the schema."""
        for role in _TEMPLATES:
            one = self.workflow.of_role(role)
            template = None if one is None else inputs.get(one.name)
            if one is None or not isinstance(template, str):
                continue
            try:
                inputs[one.name] = draw(parse(template), chance, lists)
            except WildcardError as error:
                yield FieldProblem.of_row(row, one.name, "wildcard", str(error))


def _gathered(fields: _Fields) -> _Fields:
    """Returns a row's fields with its inputs apart; ``count`` stays where it is.

    A row that gives an input twice is left as it is: the schema says so.
    """
    try:
        apart = gathered({name: value for name, value in fields.items() if name != COUNT})
    except ValidationError:
        return dict(fields)
    return {**apart, **({COUNT: fields[COUNT]} if COUNT in fields else {})}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_seed(seed: Any) -> bool:
    """Returns whether a seed is given, valid or not."""
    return not (seed is None or (type(seed) is int and seed == -1))


def _other_workflow(row: int, name: str) -> FieldProblem:
    message = f"a batch has one workflow, and this one's is {name}"
    return FieldProblem.of_row(row, "workflow", "other_workflow", message)


def _combinations(grid: Grid | None) -> Iterable[tuple[int | None, _Fields]]:
    """Returns the grid's combinations with their numbers; a single empty one without a grid."""
    return [(None, {})] if grid is None else enumerate(grid.combinations())


def _merged(*layers: _Fields) -> _Fields:
    """Merges the layers: the last one that has a field wins; ``metadata`` is merged by label.

    A row has one callback: its own receiver, by URL or by name, replaces any other.
    """
    fields: _Fields = {}
    for layer in layers:
        below, above = fields.get("metadata"), layer.get("metadata")
        inputs: Any = {**_mapping(fields.get(INPUTS)), **_mapping(layer.get(INPUTS))}
        if not isinstance(layer.get(INPUTS), Mapping | None):
            inputs = layer[INPUTS]  # the schema says what is wrong
        for replaced in _replaced_by(layer):
            fields.pop(replaced, None)
        fields.update(layer)
        if isinstance(below, dict) and isinstance(above, dict):
            fields["metadata"] = {**below, **above}
        fields[INPUTS] = inputs
    return fields


def _replaced_by(layer: _Fields) -> Iterable[str]:
    """Returns the fields of a callback that a layer ends; one of null leaves no events either."""
    receivers = [layer[name] for name in RECEIVER_FIELDS if name in layer]
    if not receivers:
        return ()
    return CALLBACK_FIELDS if all(one is None for one in receivers) else RECEIVER_FIELDS


def _one_a_column(problems: Iterable[FieldProblem]) -> list[FieldProblem]:
    """Returns each column's first: pydantic reports one per type that a label could have been."""
    first: dict[str | None, FieldProblem] = {}
    for problem in problems:
        first.setdefault(problem.column, problem)
    return list(first.values())


def _count_problems(row: int, count: Any) -> Iterator[FieldProblem]:
    try:
        _COUNT.validate_python(count, strict=True)
    except ValidationError as error:
        for _, code, why in problems_of(error):
            yield FieldProblem.of_row(row, "count", code, why)


def _field_problems(row: int, error: ValidationError, columns: Columns) -> Iterator[FieldProblem]:
    for found in islice(error.errors(include_url=False), ROW_PROBLEMS_MAX):
        why = words(found, known=columns.names)
        yield FieldProblem.of_row(row, _column(found["loc"]), found["type"], why)


def _column(loc: tuple[str | int, ...]) -> str | None:
    """Returns the field at fault; a label is named as in a manifest's header."""
    if not loc:
        return None
    if loc[0] == "metadata" and len(loc) > 1:
        return shown(f"{METADATA_PREFIX}{loc[1]}")
    return shown(str(loc[0]) if loc[0] in ENVELOPE else ".".join(map(str, loc)))


def _too_many(row: Row) -> FieldProblem:
    message = f"a batch may have {BATCH_ITEMS_MAX} generations at most; split it"
    return FieldProblem.of_row(row.number, None, "too_many_items", message)
