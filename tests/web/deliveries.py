"""Deliveries as they stand after some tries, without a receiver."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import insert, update

from core.callbacks.url import Receiver
from store.callbacks.events import entry
from store.callbacks.values import TRIES, DeliveryState, DeliveryTry
from store.outbox import put
from store.store import Store
from store.tables import deliveries, outbox
from tests.harness.transactions import open_write

URL: Final = "http://127.0.0.1:9/easel?token=zx81canary"
HOST: Final = "127.0.0.1:9"
SENT_AT: Final = datetime(2026, 11, 29, 4, 12, 7, tzinfo=UTC)


def one_try(
    status: int | None = 500, answer: str | None = None, error: str | None = None
) -> DeliveryTry:
    return DeliveryTry(at=SENT_AT, milliseconds=1234, status=status, answer=answer, error=error)


async def put_delivery(
    store: Store,
    event: str,
    state: DeliveryState,
    *,
    generation_id: UUID | None = None,
    batch_id: UUID | None = None,
    name: str | None = None,
    reason: str | None = None,
    tries: Sequence[DeliveryTry] = (),
    next_try_at: datetime | None = None,
) -> UUID:
    """Write one; its id. A pending one waits until ``next_try_at``, for ever if that is None."""
    delivery_id, subject = uuid4(), generation_id or batch_id
    assert subject is not None
    async with open_write(store.database) as connection:
        await connection.execute(
            insert(deliveries).values(
                id=delivery_id,
                event=event,
                generation_id=generation_id,
                batch_id=batch_id,
                name=name,
                url=None if name is not None else URL,
                host=Receiver.of(URL).shown,
                snapshot={},
                by_hand=False,
                created_at=SENT_AT,
                **_standing(state, reason, tries),
            )
        )
        if next_try_at is not None:
            await connection.run_sync(put, [entry(delivery_id, subject, Receiver.of(URL))])
            mine = outbox.c.payload["delivery"].as_string() == str(delivery_id)
            await connection.execute(update(outbox).where(mine).values(due_at=next_try_at))
    return delivery_id


async def change_delivery(
    store: Store,
    delivery_id: UUID,
    state: DeliveryState,
    *,
    reason: str | None = None,
    tries: Sequence[DeliveryTry] = (),
) -> None:
    """Let it stand otherwise, as a deliverer does after a try."""
    async with open_write(store.database) as connection:
        await connection.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery_id)
            .values(**_standing(state, reason, tries))
        )


def _standing(
    state: DeliveryState, reason: str | None, tries: Sequence[DeliveryTry]
) -> dict[str, Any]:
    return {
        "state": state,
        "reason": reason,
        "failures": sum(one.status != 200 for one in tries),
        "tries": TRIES.dump_python(tuple(tries), mode="json"),
        "ended_at": None if state == "pending" else SENT_AT,
    }
