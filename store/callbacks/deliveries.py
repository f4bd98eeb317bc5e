"""The table of deliveries: every event for a callback, with its tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update
from sqlalchemy.engine import RowMapping

from core.text import readable
from store.callbacks.events import DELIVER, entry, not_stored, receiver_of
from store.callbacks.stored import target_of
from store.callbacks.values import (
    ANSWER_MAX,
    DELIVERY_STATES,
    TRIES,
    Delivery,
    DeliveryFilter,
    DeliveryPage,
    DeliveryState,
    DeliveryTry,
    Due,
    read_tries,
)
from store.database import Database, reads, writes
from store.errors import NotFoundError
from store.outbox import holds, put, remove
from store.pages import Page
from store.signals import signal
from store.tables import deliveries, outbox
from store.values import Entry

TRIES_KEPT: Final = 50
"""The most tries that a delivery shows: by its schedule it has ten."""
REASON_MAX: Final = 1000
_PAGE: Final = 500


def delivery_of(entry: Entry) -> UUID:
    """Returns the delivery that an outbox entry is about."""
    return UUID(entry.payload["delivery"])


class Deliveries:
    """Reads and writes deliveries. Every method raises StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- read

    @reads
    def get(self, connection: Connection, delivery_id: UUID) -> Delivery:
        """Returns one delivery. Raises NotFoundError."""
        found = connection.execute(select(deliveries).where(deliveries.c.id == delivery_id))
        row = found.mappings().first()
        if row is None:
            raise NotFoundError(f"no delivery {delivery_id}")
        return (_with_next_tries(connection, [row]))[0]

    @reads
    def page(
        self, connection: Connection, wanted: DeliveryFilter, limit: int, cursor: str | None
    ) -> DeliveryPage:
        """Returns a page, newest first. Raises InvalidCursorError."""
        page = Page("d", deliveries.c.number, "number", limit, cursor, descending=True)
        statement = page.of(select(deliveries).where(*_matching(wanted)))
        cut = page.cut((connection.execute(statement)).mappings().all())
        items = _with_next_tries(connection, cut.rows)
        return DeliveryPage(tuple(items), cut.next_cursor, cut.previous_cursor)

    @reads
    def counts(self, connection: Connection) -> dict[DeliveryState, int]:
        """Returns how many deliveries are in each state."""
        statement = select(deliveries.c.state, func.count()).group_by(deliveries.c.state)
        found = dict((connection.execute(statement)).tuples().all())
        return {state: found.get(state, 0) for state in DELIVERY_STATES}

    @reads
    def is_wanted(self, connection: Connection, delivery_id: UUID) -> bool:
        """Returns whether it is still to be delivered: its generation was not deleted."""
        statement = select(deliveries.c.state).where(deliveries.c.id == delivery_id)
        return (connection.execute(statement)).scalar_one_or_none() == "pending"

    @reads
    def predecessor(self, connection: Connection, delivery: Delivery) -> Delivery | None:
        """Returns an event before this one that its receiver must hear of first; None without.

        Starts are left out: those that were overtaken are dropped. So is what an operator has
        sent again: its turn is over.
        """
        return _predecessor(connection, delivery)

    @reads
    def is_overtaken(self, connection: Connection, delivery: Delivery) -> bool:
        """Returns whether its receiver has a later event of the same generation or batch.

        Never so if an operator has sent it again.
        """
        return _is_overtaken(connection, delivery)

    @reads
    def due(self, connection: Connection, delivery_id: UUID) -> Due:
        """Returns what the next try of a delivery depends on. Raises NotFoundError."""
        found = connection.execute(select(deliveries).where(deliveries.c.id == delivery_id))
        row = found.mappings().first()
        if row is None:
            raise NotFoundError(f"no delivery {delivery_id}")
        delivery = Delivery.from_row(row)
        return Due(
            delivery,
            target=target_of(connection, delivery),
            former=_predecessor(connection, delivery),
            is_overtaken=delivery.is_start and _is_overtaken(connection, delivery),
        )

    # --- write: the deliverer's side

    async def delivered(self, entry: Entry, one: DeliveryTry, body: str) -> bool:
        """A receiver has taken it. Returns False when the caller no longer holds the entry."""
        return await self._end(entry, "delivered", None, one, body)

    async def failed(
        self, entry: Entry, reason: str, one: DeliveryTry | None = None, body: str | None = None
    ) -> bool:
        """It is given up, after its last try if there was one. The result is as for others."""
        return await self._end(entry, "failed", reason, one, body)

    async def drop(self, entry: Entry, reason: str, one: DeliveryTry | None = None) -> bool:
        """It need not be sent any more. The result is as for ``delivered``."""
        return await self._end(entry, "dropped", reason, one, None)

    @writes
    def tried(
        self, connection: Connection, entry: Entry, reason: str, one: DeliveryTry, body: str | None
    ) -> bool:
        """A try has failed, and another one follows. The result is as for ``delivered``."""
        row = _locked(connection, delivery_of(entry))
        if row is None or not holds(connection, entry):
            return False
        values = {"reason": readable(reason, REASON_MAX), "failures": row["failures"] + 1}
        _write(connection, row, one, body, **values)
        return True

    @writes
    def _end(
        self,
        connection: Connection,
        entry: Entry,
        state: DeliveryState,
        reason: str | None,
        one: DeliveryTry | None,
        body: str | None,
    ) -> bool:
        row = _locked(connection, delivery_of(entry))
        if not remove(connection, entry) or row is None:
            return False
        values = {"state": state, "reason": reason and readable(reason, REASON_MAX)}
        _write(connection, row, one, body, **values, ended_at=datetime.now(UTC))
        return True

    # --- write: the operators' side

    async def redeliver(self, delivery_id: UUID) -> Delivery:
        """Try it now, and then by the schedule from its beginning. Raises NotFoundError.

        One that waits for its next try is tried now; nothing changes while it is being sent. One
        whose callback is not stored any more fails at once.
        """
        await self._redeliver(delivery_id)
        return await self.get(delivery_id)

    @writes
    def _redeliver(self, connection: Connection, delivery_id: UUID) -> None:
        row = _locked(connection, delivery_id)
        if row is None:
            raise NotFoundError(f"no delivery {delivery_id}")
        if row["state"] != "pending":
            _send_again(connection, row)
        elif _hasten(connection, row):
            _write(connection, row, None, None, reason=None, failures=0)

    async def sweep(self, older_than: datetime) -> int:
        """Remove the deliveries that ended before. Returns how many."""
        count = 0
        while gone := await self._sweep_some(older_than):
            count += gone
        return count

    @writes
    def _sweep_some(self, connection: Connection, older_than: datetime) -> int:
        """Remove a page of them: no writer waits for all."""
        has_ended = deliveries.c.ended_at < older_than
        oldest = (
            select(deliveries.c.number)
            .where(has_ended)
            .order_by(deliveries.c.ended_at)  # by its index: in all but a few rounds there is none
            .limit(_PAGE)
        )
        old = (  # locked in the order in which a delete of their generation locks them
            select(deliveries.c.number)
            .where(deliveries.c.number.in_(oldest), has_ended)
            .order_by(deliveries.c.number)
            .with_for_update()
        )
        done = connection.execute(delete(deliveries).where(deliveries.c.number.in_(old)))
        return done.rowcount


def _send_again(connection: Connection, row: RowMapping) -> None:
    """Have one that has ended sent again, to where its callback is now."""
    receiver = receiver_of(connection, row["name"], row["url"])
    if receiver is None:
        reason = not_stored(row["name"])
        now = datetime.now(UTC)
        _write(connection, row, None, None, state="failed", reason=reason, ended_at=now)
        return
    subject = row["generation_id"] or row["batch_id"]
    put(connection, [entry(row["id"], subject, receiver)])
    values = {"state": "pending", "reason": None, "failures": 0, "ended_at": None}
    _write(connection, row, None, None, **values, host=receiver.shown, by_hand=True)


def _hasten(connection: Connection, row: RowMapping) -> bool:
    """Have a pending one tried now. Returns False when it is being sent."""
    signal(connection, "outbox")
    done = connection.execute(
        update(outbox).where(*_entries_of(row), outbox.c.claimed_by.is_(None)).values(due_at=None)
    )
    return done.rowcount > 0


def _predecessor(connection: Connection, delivery: Delivery) -> Delivery | None:
    if delivery.by_hand:
        return None
    statement = (
        select(deliveries)
        .where(
            *_same_receiver(delivery),
            deliveries.c.number < delivery.number,
            deliveries.c.state == "pending",
            deliveries.c.by_hand.is_(False),
            deliveries.c.event.not_like("%.running"),
        )
        .order_by(deliveries.c.number)
        .limit(1)
    )
    found = (connection.execute(statement)).mappings().all()
    return next(iter(_with_next_tries(connection, found)), None)


def _is_overtaken(connection: Connection, delivery: Delivery) -> bool:
    if delivery.by_hand:
        return False
    statement = select(deliveries.c.id).where(
        *_same_receiver(delivery), deliveries.c.number > delivery.number
    )
    return (connection.execute(statement.limit(1))).first() is not None


def _matching(wanted: DeliveryFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.generation_id is not None:
        conditions.append(deliveries.c.generation_id == wanted.generation_id)
    if wanted.batch_id is not None:
        conditions.append(deliveries.c.batch_id == wanted.batch_id)
    if wanted.state is not None:
        conditions.append(deliveries.c.state == wanted.state)
    return conditions


def _same_receiver(delivery: Delivery) -> tuple[ColumnElement[bool], ...]:
    if delivery.generation_id is not None:
        subject = deliveries.c.generation_id == delivery.generation_id
    else:
        subject = and_(
            deliveries.c.generation_id.is_(None), deliveries.c.batch_id == delivery.batch_id
        )
    receiver = (
        deliveries.c.url == delivery.url
        if delivery.name is None
        else deliveries.c.name == delivery.name
    )
    return subject, receiver


def _entries_of(row: RowMapping) -> tuple[ColumnElement[bool], ...]:
    return (
        outbox.c.kind == DELIVER,
        outbox.c.subject == (row["generation_id"] or row["batch_id"]),
        outbox.c.payload["delivery"].as_string() == str(row["id"]),
    )


def _locked(connection: Connection, delivery_id: UUID) -> RowMapping | None:
    """Returns the row, locked; None when the delivery went with its generation."""
    found = connection.execute(
        select(deliveries).where(deliveries.c.id == delivery_id).with_for_update()
    )
    return found.mappings().first()


def _write(
    connection: Connection,
    row: RowMapping,
    one: DeliveryTry | None,
    body: str | None,
    **values: Any,
) -> None:
    if one is not None:
        tries = (*read_tries(row["tries"]), _kept(one))[-TRIES_KEPT:]
        values["tries"] = TRIES.dump_python(tries, mode="json")
    if body is not None:
        values["body"] = body
    connection.execute(
        update(deliveries).where(deliveries.c.number == row["number"]).values(**values)
    )


def _kept(one: DeliveryTry) -> DeliveryTry:
    return DeliveryTry(
        at=one.at,
        milliseconds=one.milliseconds,
        status=one.status,
        answer=None if one.answer is None else readable(one.answer, ANSWER_MAX),
        error=None if one.error is None else readable(one.error, REASON_MAX),
    )


def _with_next_tries(connection: Connection, rows: Sequence[RowMapping]) -> list[Delivery]:
    """Returns the rows as values, with the moments of the next tries."""
    waiting = _next_tries(connection, [row for row in rows if row["state"] == "pending"])
    return [Delivery.from_row(row, waiting.get(row["id"])) for row in rows]


def _next_tries(connection: Connection, pending: Sequence[RowMapping]) -> Mapping[UUID, datetime]:
    if not pending:
        return {}
    subjects = {row["generation_id"] or row["batch_id"] for row in pending}
    statement = select(outbox.c.payload, outbox.c.due_at).where(
        outbox.c.kind == DELIVER, outbox.c.subject.in_(subjects), outbox.c.due_at.is_not(None)
    )
    found = connection.execute(statement)
    due = {_named(payload): due_at for payload, due_at in found.tuples()}
    return {row["id"]: due[str(row["id"])] for row in pending if str(row["id"]) in due}


def _named(payload: Any) -> str | None:
    """Returns the delivery that an entry names; None if another version stored it otherwise."""
    named = payload.get("delivery") if isinstance(payload, dict) else None
    return named if isinstance(named, str) else None
