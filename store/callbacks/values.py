"""The values of callbacks that the rooms above receive: frozen, built from rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import RowMapping

DeliveryState = Literal["pending", "delivered", "failed", "dropped"]
"""``failed``: given up. ``dropped``: a start that the end has overtaken; it is not sent."""
DELIVERY_STATES: Final[tuple[DeliveryState, ...]] = get_args(DeliveryState)
ANSWER_MAX: Final = 500
"""The most characters that are kept of a receiver's answer."""


@dataclass(frozen=True)
class DeliveryTry:
    """One try: the answer's ``status`` and beginning, or the ``error`` that prevented one."""

    at: datetime
    milliseconds: int
    status: int | None = None
    answer: str | None = None
    error: str | None = None


TRIES: Final = TypeAdapter(tuple[DeliveryTry, ...])


def read_tries(stored: Any) -> tuple[DeliveryTry, ...]:
    """Reads the tries of a row; none when another version stored them in another form."""
    try:
        return TRIES.validate_python(stored)
    except ValidationError:
        return ()


@dataclass(frozen=True)
class Delivery:
    """One event for one callback. ``number`` grows with each; a subject's events are in order.

    It is of a generation, or of a batch alone; ``batch_id`` is also the batch of a generation.
    Its receiver is the stored callback called ``name``, else ``url``; ``host`` may be shown.
    ``snapshot`` holds the values of the row at the event. ``body`` is what was sent, None before
    the first try. ``failures`` counts the failed tries since it was written or sent again, which
    is ``by_hand``.
    ``next_try_at``: None unless it waits for a moment in the future.
    """

    number: int
    id: UUID
    event: str
    generation_id: UUID | None
    batch_id: UUID | None
    name: str | None
    url: str | None = field(repr=False)
    host: str
    snapshot: Mapping[str, Any]
    body: str | None = field(repr=False)
    state: DeliveryState
    reason: str | None
    failures: int
    tries: tuple[DeliveryTry, ...]
    created_at: datetime
    ended_at: datetime | None
    by_hand: bool = False
    next_try_at: datetime | None = None

    @property
    def subject(self) -> UUID:
        """The generation or batch that the event is of."""
        subject = self.generation_id or self.batch_id
        assert subject is not None
        return subject

    @property
    def is_start(self) -> bool:
        """Whether it says that something has begun to run."""
        return self.event.endswith(".running")

    @classmethod
    def from_row(cls, row: RowMapping, next_try_at: datetime | None = None) -> Delivery:
        """Read a row of the ``deliveries`` table."""
        plain = {name: row[name] for name in cls.__dataclass_fields__ if name != "next_try_at"}
        tries = read_tries(plain.pop("tries"))
        snapshot = plain.pop("snapshot")
        if not isinstance(snapshot, dict):  # another version's
            snapshot = {}
        return cls(**plain, snapshot=snapshot, tries=tries, next_try_at=next_try_at)


@dataclass(frozen=True)
class DeliveryFilter:
    """Which deliveries a page shows. Those of a batch are also those of its generations."""

    generation_id: UUID | None = None
    batch_id: UUID | None = None
    state: DeliveryState | None = None


@dataclass(frozen=True)
class DeliveryPage:
    """A page of deliveries, newest first."""

    items: tuple[Delivery, ...]
    next_cursor: str | None
    previous_cursor: str | None


@dataclass(frozen=True)
class StoredCallback:
    """A stored callback; without a ``name``, an address that is switched off."""

    name: str | None
    url: str = field(repr=False)
    created_at: datetime
    off_at: datetime | None


@dataclass(frozen=True)
class Target:
    """Where a delivery goes now, and when that was switched off."""

    url: str = field(repr=False)
    off_at: datetime | None


@dataclass(frozen=True)
class Due:
    """A delivery with what its next try depends on.

    ``target`` is None if its callback is not stored any more. ``former`` is an event that its
    receiver must hear of first. ``is_overtaken``: it tells of a start, and a later event has come.
    """

    delivery: Delivery
    target: Target | None
    former: Delivery | None
    is_overtaken: bool
