"""Reading batches: one, a page of them, their items, the states of their generations."""

from __future__ import annotations

import statistics
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, func, select

from core.requests import read_request
from core.status import BATCH_ACTIVE, FINAL, RETRYABLE, Status
from store.cursors import read_cursor, write_cursor
from store.database import Database
from store.errors import IdempotencyMismatchError, NotFoundError
from store.tables import batch_items, batches, generations, images
from store.values import Batch, BatchCounts, BatchItem, Generation, Image, Membership

ACCEPTING: Final = "accepting"
"""The status of a batch whose items are still being written; hidden from all queries."""
RATE_OVER: Final = 30
"""How many of the newest ended generations a batch's rate is computed from."""
PAUSE_GAPS: Final = 20
"""A gap between two ends this many times longer than the mean of the others is a pause."""
PAUSE_MIN_S: Final = 0.5
"""Lower bound of that mean, in seconds: many GPUs may end at the same time."""


@dataclass(frozen=True)
class BatchPage:
    """Newest first; ``next_cursor`` is None on the last page."""

    items: tuple[Batch, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class ItemPage:
    """In the manifest's order; ``next_cursor`` is None on the last page."""

    items: tuple[BatchItem, ...]
    next_cursor: str | None


class Batches:
    """Queries. Nothing here writes. All raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, ids: Collection[UUID]) -> frozenset[UUID]:
        """Returns those of ``ids`` that this store has. Batches removed by age leave no trace."""
        if not ids:
            return frozenset()
        statement = select(batches.c.id).where(batches.c.id.in_(ids))
        async with self._database.read() as connection:
            return frozenset((await connection.execute(statement)).scalars())

    async def get(self, batch_id: UUID) -> Batch:
        """The batch. Raises NotFoundError."""
        found = await self._one(batches.c.id == batch_id)
        if found is None:
            raise NotFoundError(f"no batch {batch_id}")
        return found

    async def of_run(self, flow_run_id: UUID) -> Batch | None:
        """Returns the batch that this flow run works on, or None."""
        return await self._one(batches.c.flow_run_id == flow_run_id)

    async def of_key(self, key: str, body_sha256: str) -> Batch | None:
        """Returns the batch created with that idempotency key. Raises IdempotencyMismatchError."""
        found = await self._one(batches.c.idempotency_key == key)
        if found is not None and found.body_sha256 != body_sha256:
            raise IdempotencyMismatchError("the key was used before, with another body")
        return found

    async def skipped(self, batch_id: UUID) -> tuple[dict[str, Any], ...]:
        """Returns the rows that were skipped, as stored: at most ``SKIPPED_KEPT``."""
        statement = select(batches.c.skipped).where(batches.c.id == batch_id)
        async with self._database.read() as connection:
            found = await connection.scalar(statement)
        return tuple(found) if isinstance(found, list) else ()

    async def _one(self, which: ColumnElement[bool]) -> Batch | None:
        statement = select(batches).where(which, batches.c.status != ACCEPTING)
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return Batch.from_row(row) if row is not None else None

    async def page(self, limit: int, cursor: str | None) -> BatchPage:
        """A page, newest first. Raises InvalidCursorError."""
        statement = select(batches).where(batches.c.status != ACCEPTING)
        if cursor is not None:
            statement = statement.where(batches.c.seq < read_cursor("b", cursor))
        statement = statement.order_by(batches.c.seq.desc()).limit(limit + 1)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        found = tuple(Batch.from_row(row) for row in rows[:limit])
        more = len(rows) > limit
        return BatchPage(found, write_cursor("b", found[-1].seq) if more else None)

    async def active(self) -> tuple[Batch, ...]:
        """Every batch that has not ended, in the order of acceptance."""
        statement = (
            select(batches).where(batches.c.status.in_(BATCH_ACTIVE)).order_by(batches.c.seq)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings()
            return tuple(Batch.from_row(row) for row in rows)

    async def counts(self, batch: Batch) -> BatchCounts:
        """Counts its generations by state."""
        gone = generations.c.deleted_at.is_not(None)
        statement = (
            select(generations.c.status, gone, func.count())
            .where(generations.c.batch_id == batch.id)
            .group_by(generations.c.status, gone)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).tuples().all()
        found: dict[str, int] = {}
        for status, deleted, count in rows:
            name = "deleted" if deleted else status
            found[name] = found.get(name, 0) + count
        again = await self._to_retry(batch)
        return BatchCounts(
            waiting=batch.total - batch.released + sum(again.values()),
            queued=found.get("queued", 0),
            running=found.get("running", 0),
            cancelling=found.get("cancelling", 0),
            succeeded=found.get("succeeded", 0),
            failed=found.get("failed", 0) - again.get("failed", 0),
            cancelled=found.get("cancelled", 0) - again.get("cancelled", 0),
            deleted=found.get("deleted", 0),
        )

    async def _to_retry(self, batch: Batch) -> dict[str, int]:
        """Counts what waits for another attempt, by the status of the last one."""
        if batch.to_retry == 0:
            return {}
        statement = _again(select(generations.c.status, func.count()), batch.id).group_by(
            generations.c.status
        )
        async with self._database.read() as connection:
            return dict((await connection.execute(statement)).tuples().all())

    async def items(
        self, batch_id: UUID, limit: int, cursor: str | None, status: tuple[Status, ...] = ()
    ) -> ItemPage:
        """A page of items with their generations. Raises InvalidCursorError."""
        statement = _items().where(batch_items.c.batch_id == batch_id)
        if cursor is not None:
            statement = statement.where(batch_items.c.position > read_cursor("i", cursor))
        if status:
            statement = statement.where(generations.c.status.in_(status))
        statement = statement.order_by(batch_items.c.position).limit(limit + 1)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        found = tuple(_item(row) for row in rows[:limit])
        more = len(rows) > limit
        return ItemPage(found, write_cursor("i", found[-1].position) if more else None)

    async def images(
        self, batch_id: UUID, limit: int, after: int = -1, most_each: int | None = None
    ) -> tuple[tuple[int, Image], ...]:
        """Returns kept pictures with their items' positions, starting after position ``after``.

        In the manifest's order, of at most ``limit`` items, at most ``most_each`` per item.
        """
        positions = (
            select(batch_items.c.position, batch_items.c.generation_id)
            .join(generations, generations.c.id == batch_items.c.generation_id)
            .where(
                batch_items.c.batch_id == batch_id,
                batch_items.c.position > after,
                generations.c.status == "succeeded",
                generations.c.deleted_at.is_(None),
                generations.c.expired_at.is_(None),
            )
            .order_by(batch_items.c.position)
            .limit(limit)
            .subquery()
        )
        statement = (
            select(positions.c.position.label("item"), images)
            .join(images, images.c.generation_id == positions.c.generation_id)
            .order_by(positions.c.position, images.c.position)
        )
        if most_each is not None:
            statement = statement.where(images.c.position < most_each)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return tuple((row["item"], Image.from_row(row)) for row in rows)

    async def membership(self, generation_id: UUID) -> Membership | None:
        """Returns the batch that a generation belongs to, None if it belongs to none."""
        statement = (
            select(
                batches.c.id.label("batch_id"),
                batches.c.name,
                batch_items.c.position,
                batches.c.total,
            )
            .join(batch_items, batch_items.c.batch_id == batches.c.id)
            .where(batch_items.c.generation_id == generation_id)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return Membership(**row) if row is not None else None

    async def active_children(self, batch_id: UUID) -> tuple[UUID, ...]:
        """Returns its generations that have not ended."""
        statement = select(generations.c.id).where(
            generations.c.batch_id == batch_id,
            generations.c.status.in_(("queued", "running", "cancelling")),
            generations.c.deleted_at.is_(None),
        )
        async with self._database.read() as connection:
            return tuple((await connection.execute(statement)).scalars())

    async def rate(self, batch_id: UUID) -> float | None:
        """Returns finished generations per second, over the newest; None before there are two.

        Those that failed or were cancelled do not count: they often end at once.
        """
        newest = (
            select(generations.c.finished_at)
            .where(
                generations.c.batch_id == batch_id,
                generations.c.status == "succeeded",
                generations.c.finished_at.is_not(None),
            )
            .order_by(generations.c.seq.desc())
            .limit(RATE_OVER)
        )
        async with self._database.read() as connection:
            ended = [at for (at,) in (await connection.execute(newest)).tuples()]
        return _rate(sorted(ended))

    async def gpu_seconds(self, batch_id: UUID) -> float:
        """Returns the seconds that ComfyUI spent on its ended generations."""
        started, finished = generations.c.started_at, generations.c.finished_at
        seconds: ColumnElement[Any]
        if self._database.is_sqlite:
            seconds = (func.julianday(finished) - func.julianday(started)) * 86_400
        else:
            seconds = func.extract("epoch", finished - started)
        statement = select(func.coalesce(func.sum(seconds), 0.0)).where(
            generations.c.batch_id == batch_id,
            generations.c.status.in_(FINAL),
            started.is_not(None),
            finished > started,
        )
        async with self._database.read() as connection:
            return float((await connection.execute(statement)).scalar_one())

    async def remaining_cost(self, batch: Batch) -> float:
        """Returns the remaining work (``cost``), of generations and of unreleased items."""
        ended = select(func.coalesce(func.sum(generations.c.cost), 0.0)).where(
            generations.c.batch_id == batch.id, generations.c.status.in_(FINAL)
        )
        again = _again(select(func.coalesce(func.sum(generations.c.cost), 0.0)), batch.id)
        async with self._database.read() as connection:
            done = float((await connection.execute(ended)).scalar_one())
            if batch.to_retry:
                done -= float((await connection.execute(again)).scalar_one())
        return max(0.0, batch.cost - done)

    async def ended_before(self, moment: datetime, limit: int) -> tuple[UUID, ...]:
        """Returns batches that ended before ``moment``, for retention."""
        statement = (
            select(batches.c.id)
            .where(batches.c.status.not_in([*BATCH_ACTIVE, ACCEPTING]))
            .where(batches.c.finished_at < moment)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return tuple((await connection.execute(statement)).scalars())


def _rate(ended: list[datetime]) -> float | None:
    """Ends per second. Gaps far longer than the mean of the others were pauses: not counted."""
    gaps = sorted((after - before).total_seconds() for before, after in pairwise(ended))
    while len(gaps) > 1 and gaps[-1] > PAUSE_GAPS * max(statistics.mean(gaps[:-1]), PAUSE_MIN_S):
        gaps.pop()
    span = sum(gaps)
    return len(gaps) / span if span > 0 else None


def _again(statement: Select[Any], batch_id: UUID) -> Select[Any]:
    """Restricts to the generations that are to be retried and have not been yet."""
    return statement.join(batch_items, batch_items.c.generation_id == generations.c.id).where(
        batch_items.c.batch_id == batch_id,
        batch_items.c.again.is_(True),
        generations.c.status.in_(RETRYABLE),
        generations.c.deleted_at.is_(None),
    )


def _items() -> Select[Any]:
    own = [column.label(f"item_{column.name}") for column in batch_items.c]
    return select(*own, generations).join(
        generations, generations.c.id == batch_items.c.generation_id, isouter=True
    )


def _item(row: RowMapping) -> BatchItem:
    generation = Generation.from_row(row) if row["id"] is not None else None
    stored = row["item_request"]
    request = read_request(stored) if stored is not None else None
    return BatchItem(
        position=row["item_position"],
        row=row["item_row"],
        generation_id=row["item_generation_id"],
        request=generation.request if generation is not None else request,
        generation=generation,
        again=row["item_again"],
    )
