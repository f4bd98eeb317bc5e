"""What tests of callbacks do again and again: ask for events, read and claim their deliveries."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select

from core.callbacks.callback import BATCH_EVENTS, GENERATION_EVENTS, Callback
from core.callbacks.url import Receiver
from store.callbacks.events import DELIVER, lane_of
from store.callbacks.values import Delivery, DeliveryFilter, DeliveryTry
from store.store import Store
from store.tables import outbox
from store.values import Batch, Entry, Generation
from tests.harness.transactions import open_read
from tests.store.batch_making import being_accepted, new_items, started
from tests.store.making import RUNNER, a_request

URL: Final = "https://shop.example/easel?order=42"
OTHER_URL: Final = "http://10.0.0.7:8080/hook"
EVERY: Final = Callback(url=URL, events=(*GENERATION_EVENTS, *BATCH_EVENTS))
OTHER: Final = Callback(url=OTHER_URL, events=(*GENERATION_EVENTS, *BATCH_EVENTS))
NAMED: Final = Callback(name="shop", events=(*GENERATION_EVENTS, *BATCH_EVENTS))
LANE: Final = lane_of(Receiver.of(URL))
OTHER_LANE: Final = lane_of(Receiver.of(OTHER_URL))
SHOWN: Final = DeliveryFilter()


async def asked(store: Store, callback: Callback | None = EVERY, **fields: Any) -> Generation:
    """A generation whose events are asked for."""
    return (await store.acceptance.accept(a_request(**fields), callback=callback)).generation


async def batch_asked(
    store: Store, callback: Callback | None, count: int = 1, *, of_items: Callback | None = None
) -> Batch:
    """A queued batch whose events are asked for, and perhaps those of its items."""
    items = [replace(item, callback=of_items) for item in new_items(count)]
    batch_id = await being_accepted(store, items, callback=callback)
    return await store.batch_transitions.accept(batch_id, count, 1.0)


async def batch_running(
    store: Store, callback: Callback | None, count: int = 1, *, of_items: Callback | None = None
) -> Batch:
    """The same, running, with all of its items released."""
    batch = await started(store, await batch_asked(store, callback, count, of_items=of_items))
    assert await store.batch_transitions.release(batch.id, count) == count
    return batch


async def all_deliveries(store: Store, **wanted: Any) -> list[Delivery]:
    """In the order of their events."""
    page = await store.deliveries.page(DeliveryFilter(**wanted), 1000, None)
    return list(reversed(page.items))


async def events(store: Store, **wanted: Any) -> list[str]:
    return [one.event for one in await all_deliveries(store, **wanted)]


async def entries(store: Store) -> list[tuple[str, UUID, UUID]]:
    """Lane, subject and delivery of what waits in the outbox, claimed or not."""
    statement = (
        select(outbox.c.lane, outbox.c.subject, outbox.c.payload)
        .where(outbox.c.kind == DELIVER)
        .order_by(outbox.c.id)
    )
    async with open_read(store.database) as connection:
        return [
            (lane, subject, UUID(payload["delivery"]))
            for lane, subject, payload in (await connection.execute(statement)).tuples()
        ]


async def to_send(
    store: Store, lane: str = LANE, limit: int = 1000, holder: UUID = RUNNER
) -> tuple[Entry, ...]:
    """What a runner has claimed to send it now."""
    await store.leases.take(f"runner {holder}", holder, 600)
    return await store.outbox.claim(lane, [DELIVER], holder, limit)


async def one_to_send(store: Store, lane: str = LANE) -> Entry:
    [entry] = await to_send(store, lane)
    return entry


def a_try(**fields: Any) -> DeliveryTry:
    return DeliveryTry(**{"at": datetime.now(UTC), "milliseconds": 12, "status": 500, **fields})


TAKEN: Final = DeliveryTry(datetime(2026, 11, 29, tzinfo=UTC), 12, 200, "thanks")
UNKNOWN: Final = uuid.UUID(int=99)
