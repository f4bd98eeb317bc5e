"""What is to be sent to Prefect about a generation: outbox entries in their own lane."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, get_args
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.engine import RowMapping

from store.tables import outbox
from store.values import Entry, NewEntry

DispatchAction = Literal["start", "cancel", "forget"]
LANE: Final = "prefect"
START: Final = "prefect.start"
KINDS: Final = tuple(f"{LANE}.{action}" for action in get_args(DispatchAction))
_CANCELS, _INTERACTIVE, _BULK = range(3)
"""Ranks: a cancel saves work, so it goes first."""


def dispatch(
    action: DispatchAction, generation_id: UUID, attempt: int, priority: str, at: datetime
) -> NewEntry:
    """Returns the entry that informs Prefect about an attempt."""
    rank = _INTERACTIVE if priority == "interactive" else _BULK
    return NewEntry(
        lane=LANE,
        kind=f"{LANE}.{action}",
        subject=generation_id,
        payload={"attempt": attempt},
        rank=_CANCELS if action == "cancel" else rank,
        created_at=at,
    )


def attempt_of(entry: Entry) -> int:
    """Returns the attempt that a dispatch is about."""
    return int(entry.payload["attempt"])


def is_pending(connection: Connection, row: RowMapping, action: DispatchAction) -> bool:
    """Whether ``action`` is still pending for the current attempt of a generation's row."""
    found = connection.execute(
        select(outbox.c.id).where(
            outbox.c.subject == row["id"],
            outbox.c.kind == f"{LANE}.{action}",
            outbox.c.payload["attempt"].as_integer() == row["attempt"],
        )
    )
    return found.first() is not None
