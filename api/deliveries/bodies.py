"""What is sent to receivers: an event, with the generation or batch as it was then."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from pydantic import Field

from api.batches.documents import BatchDocument
from api.batches.facade import BatchFacade
from api.documents import Document
from api.generations.documents import HistoryItem
from api.generations.facade import Facade
from core.callbacks.callback import BatchEvent, GenerationEvent
from store.callbacks.values import Delivery
from store.errors import NotFoundError


class GenerationEventDocument(Document):
    """A generation has begun to run, or has ended."""

    type: GenerationEvent
    timestamp: datetime = Field(description="When it happened; the same in every try.")
    data: HistoryItem = Field(
        description="The generation as it was then, with its outputs if it succeeded. "
        "`queue_position`, `eta_s` and `waiting` are null."
    )


class BatchEventDocument(Document):
    """A batch has begun to run, or has ended."""

    type: BatchEvent
    timestamp: datetime = Field(description="When it happened; the same in every try.")
    data: BatchDocument = Field(
        description="The batch as it was then, with the counts of the first try. `eta_s` and "
        "`waiting` are null."
    )


class Bodies:
    """Renders deliveries. What is rendered once is kept: each repeat sends the same bytes."""

    def __init__(self, facade: Facade, batches: BatchFacade) -> None:
        self._facade = facade
        self._batches = batches

    async def __call__(self, delivery: Delivery) -> bytes | None:
        """Returns the body; None when the generation or batch is gone. Raises StoreError."""
        try:
            document = await self._document(delivery)
        except NotFoundError:
            return None
        return document.model_dump_json().encode()

    async def _document(self, delivery: Delivery) -> GenerationEventDocument | BatchEventDocument:
        snapshot = delivery.snapshot
        if delivery.generation_id is not None:
            return GenerationEventDocument.model_construct(
                type=cast("GenerationEvent", delivery.event),
                timestamp=delivery.created_at,
                data=await self._facade.item_at(delivery.generation_id, snapshot),
            )
        return BatchEventDocument.model_construct(
            type=cast("BatchEvent", delivery.event),
            timestamp=delivery.created_at,
            data=await self._batches.document_at(delivery.subject, snapshot),
        )
