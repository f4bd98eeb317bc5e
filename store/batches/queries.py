"""Reading batches: one, a page of them, their items, the states of their generations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select

from core.callbacks.callback import read_callback
from core.requests import read_request
from core.status import BATCH_ACTIVE, Status
from store.batches.figures import BatchFigures, read_counts, read_figures
from store.cursors import read_cursor, write_cursor
from store.database import Database, reads
from store.errors import IdempotencyMismatchError, NotFoundError
from store.pages import Page
from store.tables import artefacts, batch_items, batches, generations
from store.values import (
    Artefact,
    Batch,
    BatchCounts,
    BatchItem,
    Generation,
    Membership,
    Neighbours,
)

ACCEPTING: Final = "accepting"
"""The status of a batch whose items are still being written; hidden from all queries."""


@dataclass(frozen=True)
class BatchPage:
    """Newest first; the cursors are those of the pages beside it, None where there is none."""

    items: tuple[Batch, ...]
    next_cursor: str | None
    previous_cursor: str | None


@dataclass(frozen=True)
class ItemPage:
    """In the manifest's order; the cursors are those of the pages beside it, or None."""

    items: tuple[BatchItem, ...]
    next_cursor: str | None
    previous_cursor: str | None


@dataclass(frozen=True)
class TablePage:
    """The items of some of the manifest's rows, in its order.

    ``first_number``: that of the first row among those that have items, from 1.
    """

    rows: tuple[int, ...]
    first_number: int
    items: tuple[BatchItem, ...]
    next_cursor: str | None
    previous_cursor: str | None


class Batches:
    """Queries. Nothing here writes. All raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @reads
    def known(self, connection: Connection, ids: Collection[UUID]) -> frozenset[UUID]:
        """Returns those of ``ids`` that this store has. Batches removed by age leave no trace."""
        if not ids:
            return frozenset()
        statement = select(batches.c.id).where(batches.c.id.in_(ids))
        return frozenset((connection.execute(statement)).scalars())

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

    @reads
    def skipped(self, connection: Connection, batch_id: UUID) -> tuple[dict[str, Any], ...]:
        """Returns the rows that were skipped, as stored: at most ``SKIPPED_KEPT``."""
        statement = select(batches.c.skipped).where(batches.c.id == batch_id)
        found = connection.scalar(statement)
        return tuple(found) if isinstance(found, list) else ()

    @reads
    def _one(self, connection: Connection, which: ColumnElement[bool]) -> Batch | None:
        statement = select(batches).where(which, batches.c.status != ACCEPTING)
        row = (connection.execute(statement)).mappings().first()
        return Batch.from_row(row) if row is not None else None

    @reads
    def page(self, connection: Connection, limit: int, cursor: str | None) -> BatchPage:
        """A page, newest first. Raises InvalidCursorError."""
        page = Page("b", batches.c.seq, "seq", limit, cursor, descending=True)
        statement = page.of(select(batches).where(batches.c.status != ACCEPTING))
        cut = page.cut((connection.execute(statement)).mappings().all())
        found = tuple(Batch.from_row(row) for row in cut.rows)
        return BatchPage(found, cut.next_cursor, cut.previous_cursor)

    @reads
    def active(self, connection: Connection) -> tuple[Batch, ...]:
        """Every batch that has not ended, in the order of acceptance."""
        statement = (
            select(batches).where(batches.c.status.in_(BATCH_ACTIVE)).order_by(batches.c.seq)
        )
        rows = (connection.execute(statement)).mappings()
        return tuple(Batch.from_row(row) for row in rows)

    @reads
    def of_ids(self, connection: Connection, ids: Collection[UUID]) -> tuple[Batch, ...]:
        """Returns those of these batches that exist."""
        if not ids:
            return ()
        statement = select(batches).where(batches.c.id.in_(ids), batches.c.status != ACCEPTING)
        rows = (connection.execute(statement)).mappings()
        return tuple(Batch.from_row(row) for row in rows)

    @reads
    def counts(self, connection: Connection, batch: Batch) -> BatchCounts:
        """Counts its generations by state."""
        return read_counts(connection, batch, is_sqlite=self._database.is_sqlite)

    @reads
    def figures(self, connection: Connection, of: Sequence[Batch]) -> dict[UUID, BatchFigures]:
        """Returns the figures of these batches, by id: as many statements for one as for many."""
        if not of:
            return {}
        return read_figures(connection, of, is_sqlite=self._database.is_sqlite)

    @reads
    def items(
        self,
        connection: Connection,
        batch_id: UUID,
        limit: int,
        cursor: str | None,
        status: tuple[Status, ...] = (),
    ) -> ItemPage:
        """A page of items with their generations. Raises InvalidCursorError."""
        position = batch_items.c.position
        page = Page("i", position, "item_position", limit, cursor, descending=False)
        statement = _items().where(batch_items.c.batch_id == batch_id)
        if status:
            statement = statement.where(generations.c.status.in_(status))
        cut = page.cut((connection.execute(page.of(statement))).mappings().all())
        found = tuple(_item(row) for row in cut.rows)
        return ItemPage(found, cut.next_cursor, cut.previous_cursor)

    @reads
    def most_alike(self, connection: Connection, batch_id: UUID) -> int:
        """Returns the most items that one row of the manifest has of one combination."""
        alike = (
            select(func.count().label("items"))
            .where(batch_items.c.batch_id == batch_id)
            .group_by(batch_items.c.row, batch_items.c.combination)
            .subquery()
        )
        most = (connection.execute(select(func.max(alike.c["items"])))).scalar_one()
        return most or 0

    @reads
    def table(
        self,
        connection: Connection,
        batch_id: UUID,
        limit: int,
        cursor: str | None,
        rows_max: int | None = None,
    ) -> TablePage:
        """A page of whole rows of the manifest, at most ``limit`` items. Raises InvalidCursorError.

        A row with more items than that is a page of its own, without them. ``rows_max`` is the most
        rows, which may be of few items each.
        """
        rows_max = limit if rows_max is None else rows_max
        first = read_cursor("t", cursor) if cursor is not None else 0
        mine = batch_items.c.batch_id == batch_id
        row, position = batch_items.c.row, batch_items.c.position
        sizes = select(row, func.count()).where(mine).group_by(row)
        onwards = sizes.where(row >= first).order_by(row).limit(rows_max + 1)
        back = sizes.where(row < first).order_by(row.desc()).limit(rows_max)
        before = select(func.count(row.distinct())).where(mine, row < first)
        shown, following = _fitting((connection.execute(onwards)).tuples(), limit, rows_max)
        earlier, _ = _fitting((connection.execute(back)).tuples(), limit, rows_max)
        number = (connection.execute(before)).scalar_one()
        found: Sequence[RowMapping] = ()
        if shown and sum(shown.values()) <= limit:
            statement = _items().where(mine, row.in_(shown)).order_by(position)
            found = (connection.execute(statement)).mappings().all()
        return TablePage(
            rows=tuple(shown),
            first_number=number + 1,
            items=tuple(_item(one) for one in found),
            next_cursor=write_cursor("t", following) if following is not None else None,
            previous_cursor=write_cursor("t", min(earlier)) if earlier else None,
        )

    @reads
    def items_of_row(
        self, connection: Connection, batch_id: UUID, row: int, limit: int
    ) -> tuple[BatchItem, ...]:
        """Returns the items of one row of the manifest, in order, ``limit`` at most."""
        mine = (batch_items.c.batch_id == batch_id) & (batch_items.c.row == row)
        statement = _items().where(mine).order_by(batch_items.c.position).limit(limit)
        found = (connection.execute(statement)).mappings().all()
        return tuple(_item(one) for one in found)

    @reads
    def row_number(self, connection: Connection, batch_id: UUID, number: int) -> int | None:
        """Returns the ``number``-th row of the manifest that has items, from 1; None if none."""
        row = batch_items.c.row
        statement = (
            select(row)
            .where(batch_items.c.batch_id == batch_id)
            .distinct()
            .order_by(row)
            .offset(number - 1)
            .limit(1)
        )
        return (connection.execute(statement)).scalar_one_or_none()

    @reads
    def neighbours(
        self,
        connection: Connection,
        batch_id: UUID,
        generation_id: UUID,
        hidden: tuple[UUID, ...],
        status: tuple[Status, ...],
    ) -> Neighbours:
        """The nearest items with these statuses on either side, in the manifest's order.

        Without ``hidden`` and deleted ones; none when it is not an item of the batch.
        """
        position = batch_items.c.position
        here = (
            select(position)
            .where(batch_items.c.batch_id == batch_id, batch_items.c.generation_id == generation_id)
            .scalar_subquery()
        )
        shown = (
            select(generations.c.id)
            .join(batch_items, batch_items.c.generation_id == generations.c.id)
            .where(
                batch_items.c.batch_id == batch_id,
                generations.c.status.in_(status),
                generations.c.deleted_at.is_(None),
                generations.c.id.not_in(hidden),
            )
            .limit(1)
        )
        before = shown.where(position < here).order_by(position.desc())
        after = shown.where(position > here).order_by(position)
        return Neighbours(
            (connection.execute(before)).scalar_one_or_none(),
            (connection.execute(after)).scalar_one_or_none(),
        )

    @reads
    def artefacts(
        self,
        connection: Connection,
        batch_id: UUID,
        limit: int,
        after: int = -1,
        *,
        main_only: bool = False,
    ) -> tuple[tuple[int, Artefact], ...]:
        """Returns what is kept, with the items' positions, starting after position ``after``.

        In the manifest's order, of at most ``limit`` items; of each perhaps the main one only.
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
            select(positions.c.position.label("item"), artefacts)
            .join(artefacts, artefacts.c.generation_id == positions.c.generation_id)
            .order_by(positions.c.position, artefacts.c.position)
        )
        if main_only:
            statement = statement.where(artefacts.c.primary.is_(True))
        rows = (connection.execute(statement)).mappings().all()
        return tuple((row["item"], Artefact.from_row(row)) for row in rows)

    @reads
    def membership(self, connection: Connection, generation_id: UUID) -> Membership | None:
        """Returns the batch that a generation belongs to, None if it belongs to none."""
        statement = (
            select(
                batches.c.id.label("batch_id"),
                batches.c.name,
                batch_items.c.position,
                batches.c.total,
                batches.c.callback,
            )
            .join(batch_items, batch_items.c.batch_id == batches.c.id)
            .where(batch_items.c.generation_id == generation_id)
        )
        row = (connection.execute(statement)).mappings().first()
        if row is None:
            return None
        return Membership(**{**row, "callback": read_callback(row["callback"])})

    @reads
    def active_children(self, connection: Connection, batch_id: UUID) -> tuple[UUID, ...]:
        """Returns its generations that have not ended."""
        statement = select(generations.c.id).where(
            generations.c.batch_id == batch_id,
            generations.c.status.in_(("queued", "running", "cancelling")),
            generations.c.deleted_at.is_(None),
        )
        return tuple((connection.execute(statement)).scalars())

    @reads
    def ended_before(
        self, connection: Connection, moment: datetime, limit: int
    ) -> tuple[UUID, ...]:
        """Returns batches that ended before ``moment``, for retention."""
        statement = (
            select(batches.c.id)
            .where(batches.c.status.not_in([*BATCH_ACTIVE, ACCEPTING]))
            .where(batches.c.finished_at < moment)
            .limit(limit)
        )
        return tuple((connection.execute(statement)).scalars())


def _fitting(
    sizes: Iterable[tuple[int, int]], limit: int, rows_max: int
) -> tuple[dict[int, int], int | None]:
    """Returns the first rows that have ``limit`` items together, at least one; and the next row."""
    fitting: dict[int, int] = {}
    for row, size in sizes:
        if fitting and (len(fitting) == rows_max or sum(fitting.values()) + size > limit):
            return fitting, row
        fitting[row] = size
    return fitting, None


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
        combination=row["item_combination"],
        generation_id=row["item_generation_id"],
        request=generation.request if generation is not None else request,
        generation=generation,
        again=row["item_again"],
    )
