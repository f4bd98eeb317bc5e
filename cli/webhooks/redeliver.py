"""``easel webhooks redeliver``: sends an event again, or now what waits for its next try."""

from __future__ import annotations

import sys
from uuid import UUID

from cli.console import OK, CommandError, console_on
from cli.webhooks.callback_store import CallbackStore, callback_store, read_id
from core.settings import Settings
from store.callbacks.values import Delivery
from store.errors import NotFoundError


async def redeliver(text: str) -> int:
    """Have a delivery tried now, and then by the schedule. Returns the exit code."""
    delivery_id = read_id(text, "delivery")
    async with callback_store(Settings()) as store:
        before = await _delivery(store, delivery_id)
        await _check_sent(store, before)
        await store.deliveries.redeliver(delivery_id)
    done = "It had not ended: it is tried now" if before.state == "pending" else "It is sent again"
    console_on(sys.stdout).print(
        f"{done}, to {before.name or before.host}: {before.event} of {before.subject}. "
        "`easel webhooks list` shows what becomes of it, when Easel runs."
    )
    return OK


async def _delivery(store: CallbackStore, delivery_id: UUID) -> Delivery:
    try:
        return await store.deliveries.get(delivery_id)
    except NotFoundError as error:
        raise CommandError(
            f"there is no delivery {delivery_id}: it may be gone with its generation, or because "
            "of its age (EASEL_RETENTION__DELIVERIES_DAYS). See `easel webhooks list`."
        ) from error


async def _check_sent(store: CallbackStore, delivery: Delivery) -> None:
    """Raises CommandError for what the deliverer would give up at once."""
    if delivery.is_start and await store.deliveries.is_overtaken(delivery):
        raise CommandError(
            f"a later event has overtaken {delivery.event} of {delivery.subject}: a start is sent "
            "only before that."
        )
    target = await store.callbacks.target(delivery)
    if target.off_at is not None:
        raise CommandError(
            f"{delivery.name or delivery.host} is switched off, because it answered 410: switch it "
            f"on first with `easel webhooks enable {delivery.name or 'URL'}` (`easel webhooks "
            "list` shows it)."
        )
