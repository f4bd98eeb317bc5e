"""What the deliverer's tests do again and again: end generations with a callback, deliver, wait."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select

from core.callbacks.callback import Callback
from core.status import Status
from store.callbacks.values import Delivery, DeliveryFilter
from store.store import Store
from store.tables import outbox
from tests.harness.receiver import CallbackReceiver
from tests.harness.transactions import open_read
from tests.store.making import OUT_OF_MEMORY, a_request, an_image, claimed
from tests.webhooks.senders import sender
from webhooks.deliverer import Deliverer
from webhooks.sending import Sender

_BODIES: Final = itertools.count()
SCHEDULE: Final = (5.0, 300.0, 1800.0)
ALL_EVENTS: Final = (
    "generation.running",
    "generation.succeeded",
    "generation.failed",
    "generation.cancelled",
)


class Clock:
    """The true time, and what it was put forward by."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def forward(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


async def rendered(delivery: Delivery) -> bytes | None:
    """The body of an event: what the API would say of it, in short, and another one each time."""
    body = {"type": delivery.event, "data": dict(delivery.snapshot), "number": next(_BODIES)}
    return json.dumps(body).encode()


def deliverer(
    store: Store,
    clock: Clock,
    *,
    name: str = "deliverer",
    its_sender: Sender | None = None,
    schedule: Sequence[float] = SCHEDULE,
    lease_s: float = 600.0,
    render: Callable[[Delivery], Awaitable[bytes | None]] = rendered,
) -> Deliverer:
    return Deliverer(
        store,
        its_sender or sender(),
        render,
        retry_after_s=schedule,
        name=name,
        lease_s=lease_s,
        clock=clock,
    )


def to(receiver: CallbackReceiver | str, *events: str) -> Callback:
    """A callback to that receiver; of the ends, unless events are named."""
    url = receiver if isinstance(receiver, str) else receiver.url
    return Callback.model_validate({"url": url, "events": events or ALL_EVENTS[1:]})


def called(name: str, *events: str) -> Callback:
    return Callback.model_validate({"name": name, "events": events or ALL_EVENTS[1:]})


async def ended(store: Store, callback: Callback, status: Status = "succeeded") -> UUID:
    """A generation with that callback, brought to its end. Returns its id."""
    generation_id = await begun(store, callback)
    await end(store, generation_id, status)
    return generation_id


async def begun(store: Store, callback: Callback) -> UUID:
    accepted = await store.acceptance.accept(a_request(), callback=callback)
    claim = await claimed(store, accepted.generation.id)
    await store.transitions.start(claim, datetime.now(UTC))
    _CLAIMS[accepted.generation.id] = claim
    return accepted.generation.id


async def end(store: Store, generation_id: UUID, status: Status = "succeeded") -> None:
    claim = _CLAIMS.pop(generation_id)
    if status == "succeeded":
        await store.transitions.succeed(claim, [an_image(claim)])
    else:
        await store.transitions.fail(claim, OUT_OF_MEMORY)


_CLAIMS: Final[dict[UUID, Any]] = {}


async def again(store: Store, generation_id: UUID) -> None:
    """A new attempt at a generation that has failed, which runs."""
    await store.transitions.retry(generation_id)
    claim = await claimed(store, generation_id)
    await store.transitions.start(claim, datetime.now(UTC))
    _CLAIMS[generation_id] = claim


async def deliveries_of(store: Store, generation_id: UUID | None = None) -> list[Delivery]:
    """Its deliveries in the order of the events."""
    page = await store.deliveries.page(DeliveryFilter(generation_id=generation_id), 1000, None)
    return list(reversed(page.items))


async def the_delivery(store: Store, generation_id: UUID) -> Delivery:
    [delivery] = await deliveries_of(store, generation_id)
    return delivery


async def until(
    condition: Callable[[], Awaitable[bool]], what: Callable[[], Awaitable[object]]
) -> None:
    """Look until it is so; the deadline is only for what never comes."""
    try:
        async with asyncio.timeout(60):
            while not await condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(await what()) from None


async def until_tried(store: Store, generation_id: UUID, tries: int) -> Delivery:
    """Return the generation's delivery when it was tried so often, and waits or has ended."""

    async def is_tried() -> bool:
        one = await the_delivery(store, generation_id)
        if len(one.tries) < tries:
            return False
        # Its next try's moment may still be that of the try which is recorded, not yet put off.
        return one.state != "pending" or not await _is_claimed(store, generation_id)

    await until(is_tried, lambda: the_delivery(store, generation_id))
    return await the_delivery(store, generation_id)


async def _is_claimed(store: Store, generation_id: UUID) -> bool:
    statement = select(outbox.c.id).where(
        outbox.c.subject == generation_id, outbox.c.claimed_by.is_not(None)
    )
    async with open_read(store.database) as connection:
        return (await connection.execute(statement)).first() is not None


async def until_ended(store: Store) -> None:
    """Return when nothing is pending."""

    async def is_so() -> bool:
        return (await store.deliveries.counts())["pending"] == 0

    await until(is_so, store.deliveries.counts)
