"""From a manifest to a stored batch: expanded, checked row by row, written as it is read.

Every batch is created here, whether a client, a schedule or an operator in the Prefect UI asks
for it. It becomes visible only if all of its rows are good, or the bad ones are to be skipped.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, takewhile
from typing import Final, Self
from uuid import UUID

from pydantic import ValidationError

from comfy import TXT2IMG, UnresolvableError
from comfy.workflows.known import Known, Pictures
from core.batches.columns import Columns
from core.batches.expansion import Item, expand, grouped
from core.batches.grid import Grid
from core.batches.lists import Lists
from core.batches.manifest import HEADER_PROBLEMS, Row
from core.batches.request import BATCH_ITEMS_MAX, FlowBatchRequest
from core.callbacks.rules import CallbackRules
from core.fields import draw_seed
from core.invalid import problems_of
from core.problems import FieldProblem
from core.requests import ResolvedRequest
from core.uploads import referred_in
from core.workflows.declaration import Workflow
from flows.batches.notices import RowNotice, RowNotices
from flows.errors import BatchRefusedError
from flows.pictures import StorePictures, in_looking_thread, resolved_in_thread
from store.completion import finished
from store.errors import ConflictError, FilesGoneError
from store.generations.acceptance import IdempotencyKey
from store.generations.inserts import cost
from store.store import Store
from store.values import Batch, NewItem

PROBLEMS_MAX: Final = 100
"""Reading stops after this many bad rows."""
PROBLEMS_KEPT: Final = 1000
"""Bad rows that are described when bad rows are skipped; the rest is counted."""
BAD_ROWS_MAX: Final = BATCH_ITEMS_MAX
"""Most problems of rows that cannot even be read: a batch has no more good rows than that."""
UNSKIPPABLE: Final = HEADER_PROBLEMS | {
    "malformed_csv",
    "not_utf8",
    "row_too_long",
    "too_many_items",
    "too_many_lines",
    "too_many_bad_rows",
}
"""Problems of the whole manifest, not of one row: a wrong header spoils every row, and behind what
cannot be read everything is unknown. So there is no row that could be skipped.
"""
SAMPLES: Final = 10
"""Number of items that a plan shows as they would be made."""
_TOGETHER: Final = 100
"""Items read in one go, and written in one transaction."""


@dataclass(frozen=True)
class Source:
    """What a batch is made from: the request, rows from a file, wildcard lists, what is
    known of the ComfyUIs, its workflow, and what callbacks must fulfil.
    """

    request: FlowBatchRequest
    rows: Iterable[Row | FieldProblem] | None
    lists: Lists
    known: Known
    workflow: Workflow = TXT2IMG
    skip_bad: bool = False
    rules: CallbackRules = field(default_factory=CallbackRules)

    def looking_at(self, pictures: Pictures) -> Self:
        """Returns the same with what looks at its files, and the lists for its generations."""
        return replace(self, known=replace(self.known, pictures=pictures, lists=self.lists))


@dataclass(frozen=True)
class Plan:
    """What would be made: how many, how much work (``cost``), the first ones as they would be, and
    what is made in another way than it was asked for.
    """

    seed: int
    total: int
    cost: float
    models: Mapping[str, int]
    samples: tuple[ResolvedRequest, ...]
    skipped: tuple[FieldProblem, ...]
    notices: tuple[RowNotice, ...] = ()


@dataclass(frozen=True)
class AcceptedBatch:
    """The batch, and the rows that were skipped."""

    batch: Batch
    skipped: tuple[FieldProblem, ...]


async def plan_batch(source: Source, store: Store | None = None) -> Plan:
    """A dry run: everything that acceptance does, but nothing is written.

    Without a store, references to files are not looked up. Raises BatchRefusedError.
    """
    _check_callback(source)
    if store is not None:
        source = source.looking_at(StorePictures(store, asyncio.get_running_loop(), keeps=False))
    reading = _Reading(source, source.request.seed)
    samples: list[ResolvedRequest] = []
    models: Counter[str] = Counter()
    notices = RowNotices()
    async for lot in _lots(reading):
        for item in lot:
            notices.add(item.row, item.request.plan.notices)
        models.update(item.request.model for item in lot)
        samples.extend(item.request for item in lot[: SAMPLES - len(samples)])
        if store is not None:
            await _check_files(store, source, lot)
    reading.check()
    return Plan(
        seed=reading.seed,
        total=reading.total,
        cost=reading.cost,
        models=dict(models),
        samples=tuple(samples),
        skipped=tuple(reading.problems),
        notices=notices.all,
    )


async def accept_batch(
    store: Store,
    source: Source,
    batch_id: UUID,
    name: str,
    *,
    key: IdempotencyKey | None = None,
    flow_run_id: UUID | None = None,
    schedule: str | None = None,
) -> AcceptedBatch:
    """Write the batch with all of its items; committed when this returns.

    Raises BatchRefusedError, ConflictError (the same is being accepted now),
    StoreUnavailableError: then nothing of it is there.
    """
    _check_callback(source)
    source = source.looking_at(StorePictures(store, asyncio.get_running_loop()))
    reading = _Reading(source, source.request.seed)
    grid = Grid.of(source.request)
    try:
        await store.batch_transitions.begin(
            batch_id,
            name,
            source.request.options,
            reading.seed,
            grid=grid.kept if grid is not None else None,
            key=key,
            flow_run_id=flow_run_id,
            schedule=schedule,
            callback=source.request.wanted_callback,
        )
        async for lot in _lots(reading):
            await _check_files(store, source, lot)
            if not reading.is_refused:  # else reading goes on only to report more problems
                await _add(store, source, batch_id, lot)
        reading.check()
        batch = await store.batch_transitions.accept(
            batch_id, reading.total, reading.cost, reading.problems
        )
    except ConflictError:  # another request is creating this batch
        raise
    except BaseException:
        await finished(store.batch_transitions.discard(batch_id))
        raise
    return AcceptedBatch(batch, tuple(reading.problems))


async def _add(store: Store, source: Source, batch_id: UUID, lot: Sequence[NewItem]) -> None:
    try:
        await store.batch_transitions.add(batch_id, lot)
    except FilesGoneError:  # expired since they were looked at
        await _check_files(store, source, lot)
        raise


async def _check_files(store: Store, source: Source, lot: Sequence[NewItem]) -> None:
    """Raises BatchRefusedError for references to files that are not there: those of a lot.

    They are not skipped as other bad rows are: a file that is missing is missing in many.
    """
    inputs = source.workflow.inputs
    referred = [
        replace(one, loc=("row", item.row, *one.loc))
        for item in lot
        for one in referred_in(inputs, item.request.inputs)
    ]
    found = await store.uploads.problems(referred)
    if found:
        raise BatchRefusedError(found[:PROBLEMS_KEPT], len(found))


@dataclass(eq=False)
class _Reading:
    """One pass over a manifest. ``problems`` fills as bad rows are met; ``bad`` counts all."""

    source: Source
    wanted_seed: int | None
    problems: list[FieldProblem] = field(default_factory=list)
    bad: int = 0
    fatal: FieldProblem | None = None
    resolved: int = 0
    total: int = 0
    cost: float = 0.0
    seed: int = 0
    is_stopped: bool = False

    def __post_init__(self) -> None:
        self.seed = draw_seed() if self.wanted_seed is None else self.wanted_seed

    def items(self) -> Iterator[NewItem]:
        """Yields the good items, in the order in which they will be made."""
        turns = grouped(self._resolved(), lambda one: one[1].model)
        for turn, (item, request) in turns:
            self.total += 1
            self.cost += cost(request)
            yield NewItem(
                item.position,
                turn,
                item.row,
                request,
                item.combination,
                item.request.wanted_callback,
            )

    def _resolved(self) -> Iterator[tuple[Item, ResolvedRequest]]:
        source = self.source
        for found in expand(source.request, self._rows(), self.seed, source.lists, source.workflow):
            if isinstance(found, FieldProblem):
                self._report(found)
            else:
                request = self._request_of(found)
                if request is not None:
                    yield replace(found, position=self.resolved), request
                    self.resolved += 1
            if self.bad >= PROBLEMS_MAX and not source.skip_bad:
                return

    def _request_of(self, item: Item) -> ResolvedRequest | None:
        """Returns the request with all defaults; None for one that is reported as bad."""
        problems: list[FieldProblem] = []
        request = None
        try:
            request = resolved_in_thread(
                item.request,
                self.source.workflow,
                self.source.known,
                suggest=self._is_described,
            )
        except UnresolvableError as error:
            problems += error.problems
        refused = self.source.rules.problem(item.request.wanted_callback)
        if refused is not None:
            problems.append(refused)
        for problem in problems:
            self._report(replace(problem, loc=("row", item.row, *problem.loc)))
        return None if problems else request

    def _rows(self) -> Iterable[Row | FieldProblem] | None:
        """Returns the file's rows, up to one problem too many; none after ``is_stopped``."""
        rows = self.source.rows
        if rows is None:
            return None
        return takewhile(lambda _: not self.is_stopped, _up_to_too_many_bad(rows))

    @property
    def _is_described(self) -> bool:
        """Returns whether the next problem will be kept, not only counted."""
        return len(self.problems) < PROBLEMS_KEPT

    def _report(self, problem: FieldProblem) -> None:
        self.bad += 1
        if self._is_described:
            self.problems.append(problem)
        if self.fatal is None and problem.code in UNSKIPPABLE:
            self.fatal = problem

    @property
    def is_refused(self) -> bool:
        """Returns whether what was read so far makes the batch be refused."""
        return self.fatal is not None if self.source.skip_bad else self.bad > 0

    def check(self) -> None:
        """Raise BatchRefusedError unless the batch can be made."""
        if self.is_refused:
            raise BatchRefusedError(self._why_refused(), self.bad)
        if self.total == 0:
            nothing = FieldProblem.of_row(0, None, "no_items", "there are no rows to generate")
            raise BatchRefusedError([*self.problems[:PROBLEMS_MAX], nothing], self.bad + 1)

    def _why_refused(self) -> list[FieldProblem]:
        """Returns the problems; of many skipped ones the first, and what cannot be skipped."""
        if self.fatal is None or len(self.problems) <= PROBLEMS_MAX:
            return self.problems
        return [self.fatal, *self.problems[: PROBLEMS_MAX - 1]]


def source_problems(request: FlowBatchRequest, workflow: Workflow | None) -> list[FieldProblem]:
    """Returns what is wrong with a batch as a whole, before any of its rows is read."""
    if workflow is None:
        said = "there is no such workflow"
        return [FieldProblem.of_row(0, "workflow", "unknown_workflow", said)]
    try:
        request.check_names(Columns(workflow))
    except ValidationError as error:
        return [
            FieldProblem.of_row(0, ".".join(map(str, loc)), code, why)
            for loc, code, why in problems_of(error)
        ]
    return []


def _check_callback(source: Source) -> None:
    """Raises BatchRefusedError if the batch's own callback cannot be taken: no row is to blame."""
    refused = source.rules.problem(source.request.wanted_callback)
    if refused is not None:
        raise BatchRefusedError([replace(refused, loc=("row", 0, *refused.loc))])


def _up_to_too_many_bad(rows: Iterable[Row | FieldProblem]) -> Iterator[Row | FieldProblem]:
    bad = 0
    for row in rows:
        bad += isinstance(row, FieldProblem)
        if bad > BAD_ROWS_MAX and isinstance(row, FieldProblem):
            message = f"more than {BAD_ROWS_MAX} problems so far; is this the right file?"
            yield FieldProblem.of_row(row.row, None, "too_many_bad_rows", message)
            return
        yield row


async def _lots(reading: _Reading) -> AsyncIterator[list[NewItem]]:
    """Yields the items some at a time, read in a thread: reading may take many seconds.

    A turn of the event loop after so many good items is not enough: a manifest may have millions
    of lines without one.
    """
    items = reading.items()
    try:
        while lot := await in_looking_thread(partial(_next_lot, items)):
            yield lot
    finally:
        reading.is_stopped = True  # a thread cannot be cancelled


def _next_lot(items: Iterator[NewItem]) -> list[NewItem]:
    return list(islice(items, _TOGETHER))
