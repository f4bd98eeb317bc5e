"""Reading generations: one, a page of history, their attempts, artefacts, place in the queue."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    RowMapping,
    Select,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
)

from store.database import Database, reads
from store.errors import DeletedError, NotFoundError
from store.generations.dispatches import START
from store.pages import Page
from store.search.index import found_by
from store.tables import artefacts, attempts, generations, outbox, previews
from store.values import Artefact, Attempt, Generation, HistoryFilter, Neighbours, Preview, UnderWay

MEASURED_OVER: Final = 50
"""How many of the newest finished generations the rate for estimates is computed from."""
MEASURED_AMONG: Final = 500
"""Among how many of the newest those of one worker are looked for."""

_BY_ID: Final = select(generations).where(generations.c.id == bindparam("id"))


@dataclass(frozen=True)
class HistoryPage:
    """Newest first; the cursors are those of the pages beside it, None where there is none."""

    items: tuple[Generation, ...]
    next_cursor: str | None
    previous_cursor: str | None


@dataclass(frozen=True)
class Place:
    """A place in the queue: how many start before, and their total work (``cost``)."""

    ahead: int
    cost_ahead: float


class Generations:
    """Queries. Nothing here writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @reads
    def get(self, connection: Connection, generation_id: UUID) -> Generation:
        """The generation. Raises NotFoundError, DeletedError."""
        row = connection.execute(_BY_ID, {"id": generation_id}).mappings().first()
        if row is None:
            raise NotFoundError(f"no generation {generation_id}")
        if row["deleted_at"] is not None:
            raise DeletedError(f"generation {generation_id} was deleted")
        return Generation.from_row(row)

    @reads
    def of_ids(self, connection: Connection, ids: Collection[UUID]) -> tuple[Generation, ...]:
        """Returns those of these generations that exist and were not deleted."""
        if not ids:
            return ()
        statement = select(generations).where(
            generations.c.id.in_(ids), generations.c.deleted_at.is_(None)
        )
        rows = (connection.execute(statement)).mappings()
        return tuple(Generation.from_row(row) for row in rows)

    @reads
    def known(self, connection: Connection, ids: Collection[UUID]) -> frozenset[UUID]:
        """Returns those of ``ids`` that this store has ever had, deleted ones included."""
        if not ids:
            return frozenset()
        statement = select(generations.c.id).where(generations.c.id.in_(ids))
        return frozenset((connection.execute(statement)).scalars())

    async def is_deleted(self, generation_id: UUID) -> bool:
        """Whether it was deleted (or never was)."""
        try:
            await self.get(generation_id)
        except NotFoundError:
            return True
        return False

    @reads
    def history(
        self, connection: Connection, wanted: HistoryFilter, limit: int, cursor: str | None
    ) -> HistoryPage:
        """A page of undeleted generations. Raises InvalidCursorError."""
        page = Page("g", generations.c.seq, "seq", limit, cursor, descending=True)
        statement = page.of(_matching(wanted, is_sqlite=self._database.is_sqlite))
        cut = page.cut((connection.execute(statement)).mappings().all())
        items = tuple(Generation.from_row(row) for row in cut.rows)
        return HistoryPage(items, cut.next_cursor, cut.previous_cursor)

    async def neighbours(
        self, generation_id: UUID, hidden: tuple[UUID, ...], wanted: HistoryFilter
    ) -> Neighbours:
        """The nearest wanted ones on either side, newest first, except ``hidden``.

        Raises NotFoundError, DeletedError.
        """
        seq = (await self.get(generation_id)).seq
        shown = _matching(wanted, is_sqlite=self._database.is_sqlite).where(
            generations.c.id.not_in(hidden)
        )
        shown = shown.with_only_columns(generations.c.id).limit(1)
        newer = shown.where(generations.c.seq > seq).order_by(generations.c.seq)
        older = shown.where(generations.c.seq < seq).order_by(generations.c.seq.desc())
        return await self._database.read(
            lambda connection: Neighbours(
                connection.execute(newer).scalar_one_or_none(),
                connection.execute(older).scalar_one_or_none(),
            )
        )

    @reads
    def attempts(self, connection: Connection, generation_id: UUID) -> tuple[Attempt, ...]:
        """Every try, first to newest."""
        statement = (
            select(attempts)
            .where(attempts.c.generation_id == generation_id)
            .order_by(attempts.c.number)
        )
        rows = (connection.execute(statement)).mappings()
        return tuple(Attempt.from_row(row) for row in rows)

    @reads
    def artefacts(self, connection: Connection, generation_id: UUID) -> tuple[Artefact, ...]:
        """What is kept of it, in its order."""
        statement = (
            select(artefacts)
            .where(artefacts.c.generation_id == generation_id)
            .order_by(artefacts.c.position)
        )
        rows = (connection.execute(statement)).mappings()
        return tuple(Artefact.from_row(row) for row in rows)

    @reads
    def artefacts_of(
        self, connection: Connection, ids: list[UUID]
    ) -> dict[UUID, tuple[Artefact, ...]]:
        """What is kept of several generations, in one query."""
        statement = (
            select(artefacts)
            .where(artefacts.c.generation_id.in_(ids))
            .order_by(artefacts.c.position)
        )
        found = [Artefact.from_row(row) for row in (connection.execute(statement)).mappings()]
        return {
            generation_id: tuple(each for each in found if each.generation_id == generation_id)
            for generation_id in ids
        }

    @reads
    def artefact(self, connection: Connection, artefact_id: UUID) -> Artefact:
        """One artefact. Raises NotFoundError."""
        found = connection.execute(select(artefacts).where(artefacts.c.id == artefact_id))
        row = found.mappings().first()
        if row is None:
            raise NotFoundError(f"no artefact {artefact_id}")
        return Artefact.from_row(row)

    @reads
    def preview(self, connection: Connection, generation_id: UUID) -> Preview:
        """The newest live preview. Raises NotFoundError when there is none (any more)."""
        found = connection.execute(
            select(previews).where(previews.c.generation_id == generation_id)
        )
        row = found.mappings().first()
        if row is None:
            raise NotFoundError(f"no preview of {generation_id}")
        return Preview(row["number"], row["content_type"], row["data"])

    @reads
    def place(self, connection: Connection, generation: Generation) -> Place:
        """The place of a queued generation."""
        priority = generation.request.priority if generation.request else "interactive"
        its = generations.alias()  # as it is now: a retry may have put it behind others
        turn = select(its.c.turn).where(its.c.id == generation.id).scalar_subquery()
        before: ColumnElement[bool] = and_(
            generations.c.priority == priority, generations.c.turn < turn
        )
        if priority == "bulk":
            before = or_(before, generations.c.priority == "interactive")
        statement = select(func.count(), func.coalesce(func.sum(generations.c.cost), 0.0)).where(
            generations.c.status == "queued", before
        )
        ahead, cost_ahead = (connection.execute(statement)).tuples().one()
        return Place(ahead, float(cost_ahead))

    @reads
    def places(self, connection: Connection, ids: Collection[UUID]) -> dict[UUID, Place]:
        """The places of many queued generations: one pass over the queue.

        Measured with 10,000 queued and 50 of them wanted: 16 ms, and 265 one by one. Whatever is
        not queued any more is not in the answer.
        """
        if not ids:
            return {}
        turn = (case((generations.c.priority == "interactive", 0), else_=1), generations.c.turn)
        ahead = func.count().over(order_by=turn, rows=(None, -1))
        cost_ahead = func.sum(generations.c.cost).over(order_by=turn, rows=(None, -1))
        queue = (
            select(
                generations.c.id,
                ahead.label("ahead"),
                func.coalesce(cost_ahead, 0.0).label("cost_ahead"),
            )
            .where(generations.c.status == "queued")
            .subquery()
        )
        statement = select(queue).where(queue.c.id.in_(ids))
        rows = (connection.execute(statement)).tuples()
        return {found: Place(before, float(cost)) for found, before, cost in rows}

    @reads
    def running(self, connection: Connection) -> tuple[Generation, ...]:
        """Those that a worker works on, oldest first."""
        statement = (
            select(generations)
            .where(
                generations.c.status.in_(("running", "cancelling")),
                generations.c.deleted_at.is_(None),
            )
            .order_by(generations.c.seq)
        )
        rows = (connection.execute(statement)).mappings()
        return tuple(Generation.from_row(row) for row in rows)

    @reads
    def active(self, connection: Connection) -> tuple[Generation, ...]:
        """Everything that has not ended and was not deleted, oldest first."""
        statement = (
            select(generations)
            .where(
                generations.c.status.in_(("queued", "running", "cancelling")),
                generations.c.deleted_at.is_(None),
            )
            .order_by(generations.c.seq)
        )
        rows = (connection.execute(statement)).mappings()
        return tuple(Generation.from_row(row) for row in rows)

    @reads
    def workflows_under_way(self, connection: Connection) -> frozenset[str]:
        """Returns the names of the workflows that generations which have not ended are of."""
        statement = (
            select(generations.c.workflow)
            .where(generations.c.status.in_(("queued", "running", "cancelling")))
            .distinct()
        )
        found = (connection.execute(statement)).scalars().all()
        return frozenset(name for name in found if name is not None)

    @reads
    def under_way(self, connection: Connection, limit: int, after_seq: int) -> tuple[UnderWay, ...]:
        """Those being worked on, and ``limit`` of those waiting, after ``after_seq``.

        For the reconciler: with ten thousand waiting it checks some of them at a time.
        """
        held = or_(
            generations.c.status.in_(("running", "cancelling")), attempts.c.holder.is_not(None)
        )
        waits = and_(generations.c.status == "queued", attempts.c.holder.is_(None))
        some = _under_way(and_(waits, generations.c.seq > after_seq)).limit(limit)
        found = [
            *(connection.execute(_under_way(held))).mappings(),
            *(connection.execute(some)).mappings(),
        ]
        return tuple(read_under_way(row) for row in found)

    @reads
    def of_run(self, connection: Connection, flow_run_id: UUID) -> UnderWay | None:
        """Returns the generation whose current attempt has that run, ended or not, or None."""
        statement = attempts_now().where(generations.c.flow_run_id == flow_run_id)
        row = (connection.execute(statement)).mappings().first()
        return read_under_way(row) if row is not None else None

    @reads
    def of_runs(
        self, connection: Connection, flow_run_ids: Collection[UUID]
    ) -> tuple[UnderWay, ...]:
        """Returns the generations whose current attempts have these runs, ended or not."""
        if not flow_run_ids:
            return ()
        statement = attempts_now().where(generations.c.flow_run_id.in_(flow_run_ids))
        rows = (connection.execute(statement)).mappings()
        return tuple(read_under_way(row) for row in rows)

    @reads
    def undispatched(self, connection: Connection, older_than: datetime) -> tuple[Generation, ...]:
        """Queued generations without a flow run, a pending start or a holder, who would make it.

        There should be none.
        """
        pending = select(outbox.c.id).where(
            outbox.c.subject == generations.c.id,
            # No column by itself, so that it is found by its subject: without statistics, both
            # databases compared all that waits with every start (10,000 of each: minutes).
            outbox.c.kind.concat("") == START,
        )
        held = select(attempts.c.generation_id).where(
            attempts.c.holder.is_not(None), attempts.c.outcome.is_(None)
        )
        statement = select(generations).where(
            generations.c.status == "queued",
            generations.c.flow_run_id.is_(None),
            generations.c.deleted_at.is_(None),
            generations.c.created_at < older_than,
            ~pending.exists(),
            generations.c.id.not_in(held),
        )
        rows = (connection.execute(statement)).mappings()
        return tuple(Generation.from_row(row) for row in rows)

    @reads
    def seconds_per_cost_of(self, connection: Connection, worker: str) -> float | None:
        """The same for what a worker did, as far as it is among the newest of all."""
        newest = (
            select(generations.c.id, generations.c.attempt)
            .where(generations.c.status == "succeeded", generations.c.deleted_at.is_(None))
            .order_by(generations.c.seq.desc())
            .limit(MEASURED_AMONG)
            .subquery()
        )
        its = (
            select(generations.c.started_at, generations.c.finished_at, generations.c.cost)
            .join(newest, newest.c.id == generations.c.id)
            .join(
                attempts,
                (attempts.c.generation_id == newest.c.id) & (attempts.c.number == newest.c.attempt),
            )
            .where(attempts.c.worker == worker, generations.c.started_at.is_not(None))
            .order_by(generations.c.seq.desc())
            .limit(MEASURED_OVER)
        )
        return _rate(connection.execute(its).tuples().all())

    @reads
    def seconds_per_cost(self, connection: Connection) -> float | None:
        """Measured execution seconds per unit of ``cost``; None before the first picture.

        The median of the newest, so one outlier (a clock jump) does not skew it.
        """
        newest = (
            select(generations.c.started_at, generations.c.finished_at, generations.c.cost)
            .where(
                generations.c.status == "succeeded",
                generations.c.started_at.is_not(None),
                generations.c.deleted_at.is_(None),
            )
            .order_by(generations.c.seq.desc())
            .limit(MEASURED_OVER)
        )
        return _rate((connection.execute(newest)).tuples().all())


def _rate(measured: Sequence[Row[Any]]) -> float | None:
    rates = [
        (finished - started).total_seconds() / cost
        for started, finished, cost in measured
        if finished > started and cost > 0
    ]
    return statistics.median(rates) if rates else None


def attempts_now() -> Select[Any]:
    """Selects generations with what their current attempt depends on."""
    return select(generations, attempts.c.holder, attempts.c.deployment_id).join(
        attempts,
        and_(
            attempts.c.generation_id == generations.c.id,
            attempts.c.number == generations.c.attempt,
        ),
    )


def _under_way(which: ColumnElement[bool]) -> Select[Any]:
    return (
        attempts_now()
        .where(
            generations.c.status.in_(("queued", "running", "cancelling")),
            generations.c.deleted_at.is_(None),
            which,
        )
        .order_by(generations.c.seq)
    )


def read_under_way(row: RowMapping) -> UnderWay:
    """Read a row of what ``attempts_now`` selects."""
    return UnderWay(Generation.from_row(row), row["holder"], row["deployment_id"])


def _matching(wanted: HistoryFilter, *, is_sqlite: bool) -> Select[Any]:
    statement = select(generations).where(generations.c.deleted_at.is_(None))
    if wanted.status:
        statement = statement.where(generations.c.status.in_(wanted.status))
    if wanted.workflow is not None:
        statement = statement.where(generations.c.workflow == wanted.workflow)
    if wanted.model is not None:
        statement = statement.where(generations.c.model == wanted.model)
    if wanted.q and not wanted.q.isspace():
        statement = statement.where(found_by(wanted.q, generations.c.seq, is_sqlite=is_sqlite))
    if wanted.created_after is not None:
        statement = statement.where(generations.c.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        statement = statement.where(generations.c.created_at < wanted.created_before)
    if wanted.kind:
        of_kind = select(artefacts.c.generation_id).where(
            artefacts.c.generation_id == generations.c.id, artefacts.c.kind.in_(wanted.kind)
        )
        statement = statement.where(of_kind.exists())
    if wanted.batch_id is not None:
        statement = statement.where(generations.c.batch_id == wanted.batch_id)
    return statement
