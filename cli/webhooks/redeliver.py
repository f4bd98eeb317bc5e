"""``easel webhooks redeliver``: sends an event again, or now what waits for its next try."""

from __future__ import annotations

import sys

from cli.console import OK, CommandError, console_on
from cli.webhooks.callback_store import callback_store, read_id
from core.settings import Settings
from store.errors import NotFoundError


async def redeliver(text: str) -> int:
    """Have a delivery tried now, and then by the schedule. Returns the exit code."""
    delivery_id = read_id(text, "delivery")
    async with callback_store(Settings()) as store:
        try:
            before = await store.deliveries.get(delivery_id)
        except NotFoundError as error:
            raise CommandError(
                f"there is no delivery {delivery_id}: it may be gone with its generation, or "
                "because of its age (EASEL_RETENTION__DELIVERIES_DAYS). See `easel webhooks list`."
            ) from error
        target = await store.callbacks.target(before)
        if target.off_at is not None:
            which = before.name or "URL"
            raise CommandError(
                f"{before.name or before.host} is switched off, because it answered 410: switch it "
                f"on first with `easel webhooks enable {which}` (`easel webhooks list` shows it)."
            )
        await store.deliveries.redeliver(delivery_id)
    done = "It had not ended: it is tried now" if before.state == "pending" else "It is sent again"
    console_on(sys.stdout).print(
        f"{done}, to {before.name or before.host}: {before.event} of {before.subject}. "
        f"`easel webhooks list` shows what becomes of it, when Easel runs."
    )
    return OK
