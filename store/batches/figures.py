"""Figures of batches: how many of their generations are in each state, their pace, their work."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, FromClause, and_, case, func, select

from core.status import FINAL, RETRYABLE
from store.tables import batch_items, batches, generations
from store.values import Batch, BatchCounts

RATE_OVER: Final = 30
"""How many of the newest finished generations a batch's rate is computed from."""
PAUSE_GAPS: Final = 20
"""A gap between two ends this many times longer than the mean of the others is a pause."""
PAUSE_MIN_S: Final = 0.5
"""Lower bound of that mean, in seconds: many GPUs may end at the same time."""


@dataclass(frozen=True)
class BatchFigures:
    """What is computed from a batch's generations.

    ``rate`` is finished generations per second, over the newest; None before there are two. Those
    that failed or were cancelled do not count: they often end at once.
    ``gpu_seconds`` were spent by ComfyUI on ended ones, ``remaining_cost`` is the work (``cost``)
    that remains, of generations and of unreleased items.
    """

    counts: BatchCounts
    rate: float | None
    gpu_seconds: float
    remaining_cost: float


@dataclass(frozen=True)
class _State:
    """Generations of one batch and one status: how many, their work, ComfyUI's seconds."""

    batch_id: UUID
    status: str
    is_deleted: bool
    count: int
    cost: float
    seconds: float


def read_counts(connection: Connection, batch: Batch, *, is_sqlite: bool) -> BatchCounts:
    """Counts a batch's generations by state."""
    states = _states(connection, [batch.id], is_sqlite=is_sqlite)
    return _counts(batch, states, _to_retry(connection, [batch]))


def read_figures(
    connection: Connection, of: Sequence[Batch], *, is_sqlite: bool
) -> dict[UUID, BatchFigures]:
    """Returns the figures of these batches, by id: as many statements for one as for many."""
    ids = [batch.id for batch in of]
    states = _by_batch(ids, _states(connection, ids, is_sqlite=is_sqlite))
    again = _by_batch(ids, _to_retry(connection, of))
    ends = _newest_ends(connection, ids)
    return {
        batch.id: _figures(batch, states[batch.id], again[batch.id], ends[batch.id]) for batch in of
    }


def _states(connection: Connection, ids: Sequence[UUID], *, is_sqlite: bool) -> list[_State]:
    """Returns how many generations are in each state. Reads one index, and no row."""
    is_deleted = generations.c.deleted_at.is_not(None)
    started, finished = generations.c.started_at, generations.c.finished_at
    seconds: ColumnElement[Any]
    if is_sqlite:
        seconds = (func.julianday(finished) - func.julianday(started)) * 86_400
    else:
        seconds = func.extract("epoch", finished - started)
    spent = case((and_(started.is_not(None), finished > started), seconds), else_=0.0)
    statement = (
        select(
            generations.c.batch_id,
            generations.c.status,
            is_deleted,
            func.count(),
            func.coalesce(func.sum(generations.c.cost), 0.0),
            func.coalesce(func.sum(spent), 0.0),
        )
        .where(generations.c.batch_id.in_(ids))
        .group_by(generations.c.batch_id, generations.c.status, is_deleted)
    )
    rows = (connection.execute(statement)).tuples()
    return [
        _State(batch_id, status, bool(gone), count, float(cost), float(took))
        for batch_id, status, gone, count, cost, took in rows
    ]


def _rate(ended: list[datetime]) -> float | None:
    """Ends per second. Gaps far longer than the mean of the others were pauses: not counted."""
    gaps = sorted((after - before).total_seconds() for before, after in pairwise(ended))
    while len(gaps) > 1 and gaps[-1] > PAUSE_GAPS * max(statistics.mean(gaps[:-1]), PAUSE_MIN_S):
        gaps.pop()
    span = sum(gaps)
    return len(gaps) / span if span > 0 else None


def _to_retry(connection: Connection, of: Sequence[Batch]) -> list[_State]:
    """Returns what is to be retried and has not been yet, by the status of the last attempt."""
    ids = [batch.id for batch in of if batch.to_retry]
    if not ids:
        return []
    statement = (
        select(
            batch_items.c.batch_id,
            generations.c.status,
            func.count(),
            func.coalesce(func.sum(generations.c.cost), 0.0),
        )
        .join(batch_items, batch_items.c.generation_id == generations.c.id)
        .where(
            batch_items.c.batch_id.in_(ids),
            batch_items.c.again.is_(True),
            generations.c.status.in_(RETRYABLE),
            generations.c.deleted_at.is_(None),
        )
        .group_by(batch_items.c.batch_id, generations.c.status)
    )
    rows = (connection.execute(statement)).tuples()
    return [
        _State(batch_id, status, is_deleted=False, count=count, cost=float(cost), seconds=0.0)
        for batch_id, status, count, cost in rows
    ]


def _newest_ends(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[datetime]]:
    """Returns when the newest ``RATE_OVER`` finished generations of each batch ended.

    Each batch costs two look-ups in its index: from the newest one back to the oldest that is
    wanted, and from there on.
    """
    back = generations.alias()
    oldest = (
        select(back.c.seq)
        .where(back.c.batch_id == batches.c.id, *_has_finished(back))
        .order_by(back.c.seq.desc())
        .limit(1)
        .offset(RATE_OVER - 1)
        .scalar_subquery()
    )
    statement = (
        select(generations.c.batch_id, generations.c.finished_at)
        .join(batches, batches.c.id == generations.c.batch_id)
        .where(
            batches.c.id.in_(ids),
            generations.c.seq >= func.coalesce(oldest, 0),
            *_has_finished(generations),
        )
    )
    found: dict[UUID, list[datetime]] = {batch_id: [] for batch_id in ids}
    for batch_id, at in (connection.execute(statement)).tuples():
        found[batch_id].append(at)
    return found


def _has_finished(table: FromClause) -> tuple[ColumnElement[bool], ...]:
    return table.c.status == "succeeded", table.c.finished_at.is_not(None)


def _by_batch(ids: Sequence[UUID], states: Sequence[_State]) -> dict[UUID, list[_State]]:
    found: dict[UUID, list[_State]] = {batch_id: [] for batch_id in ids}
    for state in states:
        found[state.batch_id].append(state)
    return found


def _figures(
    batch: Batch, states: Sequence[_State], again: Sequence[_State], ends: Sequence[datetime]
) -> BatchFigures:
    ended = [state for state in states if state.status in FINAL]
    done = sum(state.cost for state in ended) - sum(state.cost for state in again)
    return BatchFigures(
        counts=_counts(batch, states, again),
        rate=_rate(sorted(ends)),
        gpu_seconds=sum(state.seconds for state in ended),
        remaining_cost=max(0.0, batch.cost - done),
    )


def _counts(batch: Batch, states: Sequence[_State], again: Sequence[_State]) -> BatchCounts:
    found: Counter[str] = Counter()
    for state in states:
        found["deleted" if state.is_deleted else state.status] += state.count
    for state in again:
        found[state.status] -= state.count
    return BatchCounts(
        waiting=batch.total - batch.released + sum(state.count for state in again),
        queued=found["queued"],
        running=found["running"],
        cancelling=found["cancelling"],
        succeeded=found["succeeded"],
        failed=found["failed"],
        cancelled=found["cancelled"],
        deleted=found["deleted"],
    )
