"""What is to be sent to Prefect about a generation: outbox entries in their own lane."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.engine import RowMapping

from store.tables import outbox
from store.values import Entry, NewEntry

DispatchAction = Literal["start", "cancel", "forget"]
LANE: Final = "prefect"
START: Final = "prefect.start"
START_DELAY_S: Final = 0.3
"""Seconds for which the start of a new generation may be left to a worker: one that has room takes
it from the queue sooner, makes its flow run itself, and removes the entry."""
KINDS: Final = tuple(f"{LANE}.{action}" for action in get_args(DispatchAction))
_CANCELS, _INTERACTIVE, _BULK = range(3)
"""Ranks: a cancel saves work, so it goes first."""
# Made once: SQLAlchemy takes longer to make a statement than to carry it out.
_PENDING: Final = select(outbox.c.id).where(
    outbox.c.subject == bindparam("subject_of"),
    # No column by itself, so that it is found by its subject: ``kind`` leads to every start.
    outbox.c.kind.concat("") == bindparam("kind_of"),
    outbox.c.payload["attempt"].as_integer() == bindparam("attempt"),
)
_DROP: Final = delete(outbox).where(
    outbox.c.id.in_(
        _PENDING.where(outbox.c.claimed_by.is_(None))
        # The caller has locked a generation's row, for which the runner may wait.
        .with_for_update(skip_locked=True)
    )
)


def dispatch(
    action: DispatchAction,
    generation_id: UUID,
    attempt: int,
    priority: str,
    at: datetime,
    *,
    delay_s: float = 0.0,
) -> NewEntry:
    """Returns the entry that informs Prefect about an attempt, due ``delay_s`` after ``at``."""
    rank = _INTERACTIVE if priority == "interactive" else _BULK
    return NewEntry(
        lane=LANE,
        kind=f"{LANE}.{action}",
        subject=generation_id,
        payload={"attempt": attempt},
        rank=_CANCELS if action == "cancel" else rank,
        created_at=at,
        due_at=at + timedelta(seconds=delay_s) if delay_s else None,
    )


def attempt_of(entry: Entry) -> int:
    """Returns the attempt that a dispatch is about."""
    return int(entry.payload["attempt"])


def is_pending(connection: Connection, row: RowMapping, action: DispatchAction) -> bool:
    """Whether ``action`` is still pending for the current attempt of a generation's row."""
    about = _about(row["id"], row["attempt"], action)
    return connection.execute(_PENDING, about).first() is not None


def drop_start(connection: Connection, generation_id: UUID, attempt: int) -> None:
    """Remove the start of an attempt, whose run is made otherwise.

    One that a runner has claimed stays, and so does one that is being claimed at this moment: the
    run is the same, whoever makes it first.
    """
    connection.execute(_DROP, _about(generation_id, attempt, "start"))


def _about(generation_id: UUID, attempt: int, action: DispatchAction) -> dict[str, Any]:
    return {"subject_of": generation_id, "attempt": attempt, "kind_of": f"{LANE}.{action}"}
