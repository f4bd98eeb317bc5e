"""Events: written in the transaction of the change, with an outbox entry for each callback.

The caller has locked the row. A generation's event is for its own callback, and for its batch's if
that one asks for the events of items.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import RowMapping

from core.callbacks.callback import Callback, read_callback
from core.callbacks.url import Receiver
from store.outbox import put
from store.tables import batches, callbacks, deliveries, outbox
from store.values import NewEntry

DELIVER: Final = "webhook"
"""The kind of an outbox entry that has an event delivered."""
_RANK: Final = 0
_SHARED: Final = ("status", "error", "flow_run_id", "started_at", "finished_at")
_OF_GENERATION: Final = (*_SHARED, "attempt", "progress")
_OF_BATCH: Final = (*_SHARED, "run_number")


def generation_event(connection: Connection, row: RowMapping, written: Mapping[str, Any]) -> None:
    """A generation has changed its status: ``written`` are the new values of its row."""
    if row["callback"] is None and row["batch_id"] is None:
        return
    now = {**row, **written}
    event = f"generation.{now['status']}"
    wanted = _wanting(connection, row, event)
    if not wanted or (now["status"] == "running" and _has_run(connection, now)):
        return
    snapshot = {**_snapshot(now, _OF_GENERATION), "sequence": row["sequence"] + 1}
    for callback in wanted:
        _write(
            connection,
            callback,
            event,
            snapshot,
            generation_id=row["id"],
            batch_id=row["batch_id"],
        )


def batch_event(connection: Connection, row: RowMapping, written: Mapping[str, Any]) -> None:
    """A batch runs now, or has ended: ``written`` are the new values of its row.

    It begins to run once, however often it is paused; again when it was retried.
    """
    callback = read_callback(row["callback"])
    now = {**row, **written}
    event = f"batch.{now['status']}"
    if callback is None or event not in callback.events:
        return
    if now["status"] == "running" and row["status"] != "queued" and _has_begun(connection, now):
        return
    snapshot = _snapshot(now, _OF_BATCH)
    _write(connection, callback, event, snapshot, generation_id=None, batch_id=row["id"])


def forget_events(connection: Connection, subject: UUID) -> None:
    """Remove the deliveries of a generation or a batch: nothing more of it is sent.

    Rows are locked in the order of their ids, as others that lock several do.
    """
    of_batch = deliveries.c.generation_id.is_(None) & (deliveries.c.batch_id == subject)
    gone = (
        select(deliveries.c.number)
        .where((deliveries.c.generation_id == subject) | of_batch)
        .order_by(deliveries.c.number)
        .with_for_update()
    )
    connection.execute(delete(deliveries).where(deliveries.c.number.in_(gone)))
    unsent = (
        select(outbox.c.id)
        .where(outbox.c.subject == subject, outbox.c.kind == DELIVER)
        .order_by(outbox.c.id)
        .with_for_update()
    )
    connection.execute(delete(outbox).where(outbox.c.id.in_(unsent)))


def lane_of(receiver: Receiver) -> str:
    """Returns the lane of a receiver: each host with its port has one of its own."""
    return f"{DELIVER} {receiver.host}:{receiver.port}"


def entry(delivery_id: UUID, subject: UUID, receiver: Receiver) -> NewEntry:
    """Returns the outbox entry of a delivery."""
    return NewEntry(
        lane=lane_of(receiver),
        kind=DELIVER,
        subject=subject,
        payload={"delivery": str(delivery_id)},
        rank=_RANK,
        created_at=datetime.now(UTC),
    )


def _wanting(connection: Connection, row: RowMapping, event: str) -> list[Callback]:
    """Returns the callbacks that the event is for: a receiver hears of it once."""
    found = [read_callback(row["callback"])]
    if row["batch_id"] is not None:
        of_batch = select(batches.c.callback).where(batches.c.id == row["batch_id"])
        found.append(read_callback((connection.execute(of_batch)).scalar_one_or_none()))
    wanting = [one for one in found if one is not None and event in one.events]
    return list({(one.name, one.url): one for one in wanting}.values())


def _has_run(connection: Connection, now: Mapping[str, Any]) -> bool:
    """Returns whether the attempt ran before, and was given back by its worker since."""
    found = connection.execute(
        select(deliveries.c.id).where(
            deliveries.c.generation_id == now["id"],
            deliveries.c.event == "generation.running",
            deliveries.c.snapshot["attempt"].as_integer() == now["attempt"],
        )
    )
    return found.first() is not None


def _has_begun(connection: Connection, now: Mapping[str, Any]) -> bool:
    """Returns whether the receiver hears already that the batch runs, as it was before a pause."""
    found = connection.execute(
        select(deliveries.c.id).where(
            deliveries.c.batch_id == now["id"],
            deliveries.c.generation_id.is_(None),
            deliveries.c.event == "batch.running",
            deliveries.c.snapshot["run_number"].as_integer() == now["run_number"],
        )
    )
    return found.first() is not None


def _snapshot(now: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _plain(now[name]) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _write(
    connection: Connection,
    callback: Callback,
    event: str,
    snapshot: dict[str, Any],
    *,
    generation_id: UUID | None,
    batch_id: UUID | None,
) -> None:
    subject = generation_id or batch_id
    assert subject is not None
    receiver = receiver_of(connection, callback.name, callback.url)
    now = datetime.now(UTC)
    delivery_id = uuid4()
    connection.execute(
        insert(deliveries).values(
            id=delivery_id,
            event=event,
            generation_id=generation_id,
            batch_id=batch_id,
            name=callback.name,
            url=callback.url,
            host="" if receiver is None else receiver.shown,
            snapshot=snapshot,
            state="failed" if receiver is None else "pending",
            reason=not_stored(callback.name) if receiver is None else None,
            failures=0,
            by_hand=False,
            tries=[],
            created_at=now,
            ended_at=now if receiver is None else None,
        )
    )
    if receiver is not None:
        _hasten_former(connection, subject, lane_of(receiver))
        put(connection, [entry(delivery_id, subject, receiver)])


def not_stored(name: str | None) -> str:
    """Returns why an event for a stored callback cannot be sent."""
    return (
        f"no callback called {name} is stored: store it again with "
        f"`easel webhooks add {name} URL`, and then redeliver"
    )


def receiver_of(connection: Connection, name: str | None, url: str | None) -> Receiver | None:
    """Returns where events go now: to the URL, else to the stored callback, None without it."""
    if url is None:
        found = connection.execute(select(callbacks.c.url).where(callbacks.c.name == name))
        url = found.scalar_one_or_none()
    try:
        return None if url is None else Receiver.of(url)
    except ValueError:  # another version stored it: the generation must end all the same
        return None


def _hasten_former(connection: Connection, subject: UUID, lane: str) -> None:
    """Let former events that wait for their next try be tried now: a later one must not wait."""
    connection.execute(
        update(outbox)
        .where(
            outbox.c.subject == subject,
            outbox.c.lane == lane,
            outbox.c.kind == DELIVER,
            outbox.c.claimed_by.is_(None),
            outbox.c.due_at.is_not(None),
        )
        .values(due_at=None)
    )
