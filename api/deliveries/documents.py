"""The documents of deliveries that clients read: never with a receiver's URL."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID

from pydantic import Field

from api.documents import Document, NextCursor, PreviousCursor
from core.callbacks.callback import EventType
from store.callbacks.values import Delivery, DeliveryState, DeliveryTry


class TryDocument(Document):
    """One try."""

    at: datetime
    status: int | None = Field(description="The status of the answer; null if there was none.")
    milliseconds: int = Field(description="How long it took.")
    answer: str | None = Field(description="The first 500 characters of the answer.")
    error: str | None = Field(description="Why there was no answer.")


class DeliveryDocument(Document):
    """One event for one callback."""

    delivery_id: UUID = Field(description="The `webhook-id` of every try.")
    type: EventType = Field(description="What it tells.")
    task_id: UUID | None = Field(description="The generation; null for an event of a batch.")
    batch_id: UUID | None = Field(description="The batch, also that of the generation.")
    host: str = Field(
        description="The receiver's host, with its port if it is not the usual one; empty if the "
        "stored callback was removed before."
    )
    callback: str | None = Field(description="The name of a stored callback; null for a URL.")
    state: DeliveryState = Field(
        description="`pending`: to be tried (again). `delivered`: taken by the receiver. `failed`: "
        "given up. `dropped`: a start that the end has overtaken; it is not sent."
    )
    reason: str | None = Field(description="What the last try met, or why it ended like this.")
    created_at: datetime = Field(description="When it happened.")
    next_try_at: datetime | None = Field(
        description="When it is tried again; null if that is now, or not any more."
    )
    ended_at: datetime | None
    tries: list[TryDocument] = Field(description="Every try, first to newest.")


class DeliveriesDocument(Document):
    """A page of deliveries, newest first."""

    items: list[DeliveryDocument]
    next_cursor: NextCursor
    previous_cursor: PreviousCursor


def delivery_document(delivery: Delivery) -> DeliveryDocument:
    """Returns what is shown of a delivery."""
    return DeliveryDocument.model_construct(
        delivery_id=delivery.id,
        type=cast("EventType", delivery.event),
        task_id=delivery.generation_id,
        batch_id=delivery.batch_id,
        host=delivery.host,
        callback=delivery.name,
        state=delivery.state,
        reason=delivery.reason,
        created_at=delivery.created_at,
        next_try_at=delivery.next_try_at,
        ended_at=delivery.ended_at,
        tries=[_try(one) for one in delivery.tries],
    )


def _try(one: DeliveryTry) -> TryDocument:
    return TryDocument(
        at=one.at,
        status=one.status,
        milliseconds=one.milliseconds,
        answer=one.answer,
        error=one.error,
    )
