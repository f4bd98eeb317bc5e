"""The deliverer: sends the store's events to their receivers, over days if need be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from prometheus_client import Counter

from core.callbacks.url import Receiver
from core.failpoints import reach
from store.callbacks.deliveries import delivery_of
from store.callbacks.events import DELIVER, not_stored
from store.callbacks.values import Delivery, DeliveryTry, Target
from store.errors import NotFoundError, StoreError
from store.outbox_runner import Done, OutboxRunner, Outcome, PutOff
from store.store import Store
from store.values import Entry
from webhooks.remembered import Remembered
from webhooks.reply import Reply
from webhooks.sending import Sender
from webhooks.signing import signed
from webhooks.silent_lanes import SilentLanes

TOGETHER: Final = 8
"""Tries at once to one receiver, by its host and port."""
CONNECTIONS: Final = 128
"""Tries at once to all receivers."""
LATER_S: Final = 60.0
"""The longest that an event waits before it looks again whether the one before it has ended."""
_SOON_S: Final = 0.1
SECRETS_S: Final = 1.0
"""Seconds for which secrets are remembered: a rotated one stays valid for far longer."""
TRIES: Final = Counter("easel_delivery_tries", "Tries to deliver an event, by outcome", ["outcome"])
_log = logging.getLogger(__name__)

Render = Callable[[Delivery], Awaitable[bytes | None]]
"""Returns the body of an event; None if there is nothing to say any more."""


class Deliverer:
    """Use as an async context manager; ``wake()`` after a write makes it look at once.

    ``retry_after_s`` are the seconds after each failed try until the next one. ``clock`` is that of
    the outbox; signatures have the true time. The others are as for ``OutboxRunner``.
    """

    def __init__(
        self,
        store: Store,
        sender: Sender,
        render: Render,
        *,
        retry_after_s: Sequence[float],
        name: str,
        lease_s: float,
        busy: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._sender = sender
        self._render = render
        self._retry_after_s = tuple(retry_after_s)
        self._clock = clock
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._silent = SilentLanes()
        self._secrets = Remembered(store.secrets.valid, SECRETS_S)
        self.runner = OutboxRunner(
            store.outbox,
            store.leases,
            {DELIVER: self._deliver},
            name=name,
            lease_s=lease_s,
            together=TOGETHER,
            busy=busy,
        )

    async def __aenter__(self) -> Deliverer:
        await self.runner.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.runner.__aexit__(*exc_info)

    def wake(self) -> None:
        """Look for events to deliver at once."""
        self.runner.wake()

    async def _deliver(self, entry: Entry) -> Outcome:
        async with self._silent.turn(entry.lane), self._connections:
            try:
                due = await self._store.deliveries.due(delivery_of(entry))
            except NotFoundError:  # it went with its generation
                return Done()
            if due.delivery.state != "pending":
                return Done()
            if due.is_overtaken:
                return await self._drop(entry, due.delivery)
            if due.former is not None:
                return self._after(due.former)
            if due.target is None:
                return await self._give_up(entry, due.delivery, not_stored(due.delivery.name))
            if due.target.off_at is not None:
                return await self._give_up(entry, due.delivery, _switched_off(due.delivery))
            try:
                return await self._send(entry, due.delivery, due.target)
            except StoreError:
                raise
            except Exception:  # noqa: BLE001 - else it would be tried for ever, seen by nobody
                _log.exception("delivery %s could not be sent", due.delivery.id)
                at = datetime.now(UTC)
                tried = DeliveryTry(at=at, milliseconds=0, error="an error of Easel: see its log")
                return await self._record(entry, due.delivery, due.target, Reply(tried), None)

    async def _send(self, entry: Entry, delivery: Delivery, target: Target) -> Outcome:
        receiver = Receiver.of(target.url)
        body = await self._body(delivery)
        if body is None:
            return await self._drop(entry, delivery)
        headers = signed(await self._secrets(), delivery.id, datetime.now(UTC), body)

        async def still_wanted() -> bool:
            if not await self._store.deliveries.is_wanted(delivery.id):
                return False
            reach("deliver.before_send")
            return True

        reply = await self._sender.send(receiver, headers, body, still_wanted)
        if reply is None:  # it went with its generation while the connection was being made
            return Done()
        reach("deliver.after_send")
        self._silent.heard(entry.lane, answered=not reply.is_silent)
        return await self._record(entry, delivery, target, reply, body.decode())

    async def _record(
        self, entry: Entry, delivery: Delivery, target: Target, reply: Reply, body: str | None
    ) -> Outcome:
        TRIES.labels(reply.outcome).inc()
        if reply.is_taken and body is not None:
            _report(delivery, f"delivered, answered {reply.tried.status}")
            await self._store.deliveries.delivered(entry, reply.tried, body)
            return Done(removed=True)
        if reply.is_gone:
            await self._store.callbacks.switch_off(delivery.name, target.url)
            return await self._give_up(entry, delivery, _switched_off(delivery), reply, body)
        if delivery.is_start and await self._store.deliveries.is_overtaken(delivery):
            return await self._drop(entry, delivery, reply)
        if delivery.failures >= len(self._retry_after_s):
            reason = f"given up after {delivery.failures + 1} tries: {reply.reason}"
            return await self._give_up(entry, delivery, reason, reply, body)
        delay_s = max(self._retry_after_s[delivery.failures], reply.retry_after_s or 0.0)
        if not await self._store.deliveries.tried(entry, reply.reason, reply.tried, body):
            return Done()
        _report(delivery, f"again in {delay_s:g} s: {reply.reason}")
        return PutOff(reply.reason, delay_s)

    async def _give_up(
        self,
        entry: Entry,
        delivery: Delivery,
        reason: str,
        reply: Reply | None = None,
        body: str | None = None,
    ) -> Outcome:
        _report(delivery, f"failed: {reason}")
        tried = None if reply is None else reply.tried
        await self._store.deliveries.failed(entry, reason, tried, body)
        return Done(removed=True)

    async def _drop(self, entry: Entry, delivery: Delivery, reply: Reply | None = None) -> Outcome:
        reason = "a later event has overtaken it" if delivery.is_start else "nothing is left of it"
        _report(delivery, f"dropped: {reason}")
        tried = None if reply is None else reply.tried
        await self._store.deliveries.drop(entry, reason, tried)
        return Done(removed=True)

    async def _body(self, delivery: Delivery) -> bytes | None:
        """Returns what is sent: the same bytes at each try."""
        if delivery.body is not None:
            return delivery.body.encode()
        return await self._render(delivery)

    def _after(self, former: Delivery) -> PutOff:
        """Returns that it is the turn of an earlier event, and then of this one."""
        delay_s = _SOON_S
        if former.next_try_at is not None:
            delay_s += max(0.0, (former.next_try_at - self._clock()).total_seconds())
        return PutOff(f"waits for {former.event} before it", min(delay_s, LATER_S))


def _switched_off(delivery: Delivery) -> str:
    of = delivery.name or "URL"
    return (
        "the address is switched off, for its receiver answered 410: nothing more is sent to it. "
        f"`easel webhooks enable {of}` switches it on again"
    )


def _report(delivery: Delivery, outcome: str) -> None:
    _log.info("delivery %s: %s to %s %s", delivery.id, delivery.event, delivery.host, outcome)
