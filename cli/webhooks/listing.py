"""``easel webhooks list``: stored callbacks, addresses that are off, and the newest deliveries."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from cli.console import BAD_USAGE, OK, CommandError, console_on
from cli.webhooks.callback_store import callback_store, read_id
from core.settings import Settings
from core.wording import ago, brief, nearest
from store.callbacks.values import (
    DELIVERY_STATES,
    Delivery,
    DeliveryFilter,
    DeliveryState,
    DeliveryTry,
    StoredCallback,
)

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN_MAX: Final = 80
"""The most characters that a line of the table has of an error."""
_STYLES: Final[dict[DeliveryState, str]] = {
    "pending": "yellow",
    "delivered": "green",
    "failed": "bold red",
    "dropped": "dim",
}


@dataclass(frozen=True)
class Wanted:
    """Which deliveries, as the command line says."""

    limit: int
    state: str | None = None
    task: str | None = None
    batch: str | None = None

    def filter(self) -> DeliveryFilter:
        """Returns the filter. Raises CommandError for what is no state or id."""
        if self.state is not None and self.state not in DELIVERY_STATES:
            near = nearest(self.state, DELIVERY_STATES, what="states")
            raise CommandError(
                f"--state: no delivery is in such a state; {near}. Take one of "
                f"{', '.join(DELIVERY_STATES)}.",
                BAD_USAGE,
            )
        return DeliveryFilter(
            None if self.task is None else read_id(self.task, "generation"),
            None if self.batch is None else read_id(self.batch, "batch"),
            self.state,
        )


async def show_list(wanted: Wanted, *, as_json: bool) -> int:
    """Print them. Returns the exit code."""
    which = wanted.filter()
    async with callback_store(Settings()) as store:
        callbacks = await store.callbacks.all()
        page = await store.deliveries.page(which, wanted.limit, None)
    if as_json:
        document = {
            "callbacks": [_callback_document(one) for one in callbacks],
            "deliveries": _delivery_documents(page.items),
        }
        console_on(sys.stdout).print(json.dumps(document, indent=2))
        return OK
    _print_callbacks(callbacks)
    console_on(sys.stdout).print()
    _print_deliveries(page.items, is_filtered=which != DeliveryFilter())
    return OK


def _callback_document(one: StoredCallback) -> dict[str, Any]:
    return {
        "name": one.name,
        "url": one.url,
        "created_at": one.created_at.isoformat(),
        "off_at": None if one.off_at is None else one.off_at.isoformat(),
    }


def _delivery_documents(deliveries: Sequence[Delivery]) -> list[dict[str, Any]]:
    from api.deliveries.documents import delivery_document

    return [delivery_document(one).model_dump(mode="json") for one in deliveries]


def _print_callbacks(callbacks: Sequence[StoredCallback]) -> None:
    from rich.text import Text

    if not callbacks:
        console_on(sys.stdout).print(
            "No callback is stored, and no address is switched off. "
            "`easel webhooks add NAME URL` stores one."
        )
        return
    table = _table("CALLBACK", "URL", "STATE")
    for one in callbacks:
        state = (
            Text("on", "green")
            if one.off_at is None
            else Text(f"switched off {ago(one.off_at)}: it answered 410", "bold red")
        )
        table.add_row(Text(one.name or "(a bare URL)"), Text(one.url), state)
    console_on(sys.stdout).print(table, soft_wrap=False)


def _print_deliveries(deliveries: Sequence[Delivery], *, is_filtered: bool) -> None:
    from rich.text import Text

    if not deliveries:
        none = "There is no such delivery." if is_filtered else "Nothing was to be delivered yet."
        console_on(sys.stdout).print(none)
        return
    table = _table("DELIVERY", "WHEN", "EVENT", "STATE", "RECEIVER", "TRIES", "LAST", "NEXT TRY")
    for one in deliveries:
        table.add_row(
            Text(str(one.id)),
            Text(ago(one.created_at)),
            Text(one.event),
            Text(one.state, _STYLES[one.state]),
            Text(" ".join(filter(None, (one.name, one.host)))),
            Text(str(len(one.tries))),
            Text(last_words(one)),
            Text(next_try(one, datetime.now(UTC))),
        )
    console_on(sys.stdout).print(table, soft_wrap=False)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:  # what is copied into other commands is never broken
        table.add_column(column, overflow="fold", no_wrap=column == "DELIVERY")
    return table


def last_words(delivery: Delivery) -> str:
    """Returns how its last try went, and why it was given up."""
    last = _of_try(delivery.tries[-1]) if delivery.tries else ""
    why = delivery.reason if delivery.state in {"failed", "dropped"} else None
    words = ": ".join(dict.fromkeys(filter(None, (last, why))))
    return words if len(words) <= _SHOWN_MAX else f"{words[: _SHOWN_MAX - 1]}…"


def _of_try(one: DeliveryTry) -> str:
    if one.status is not None:
        return f"{one.status} in {one.milliseconds} ms"
    return " ".join((one.error or "no answer").split())


def next_try(delivery: Delivery, now: datetime) -> str:
    """Returns when it is tried again; empty if it is not."""
    if delivery.state != "pending":
        return ""
    seconds = (delivery.next_try_at - now).total_seconds() if delivery.next_try_at else 0.0
    return f"in {brief(seconds)}" if seconds > 0 else "now"
