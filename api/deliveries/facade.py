"""What the API can do with deliveries, as functions: called by the routes and by web's pages."""

from __future__ import annotations

from uuid import UUID

from api.deliveries.documents import DeliveriesDocument, DeliveryDocument, delivery_document
from api.errors import ProblemError
from store.callbacks.values import DeliveryFilter, DeliveryState
from store.errors import NotFoundError
from store.store import Store
from webhooks.deliverer import Deliverer


class DeliveryFacade:
    """The deliveries as clients see them. Raises ProblemError and the store's errors."""

    def __init__(self, store: Store, deliverer: Deliverer) -> None:
        self._deliveries = store.deliveries
        self._deliverer = deliverer

    async def page(
        self,
        limit: int,
        cursor: str | None = None,
        *,
        task_id: UUID | None = None,
        batch_id: UUID | None = None,
        state: DeliveryState | None = None,
    ) -> DeliveriesDocument:
        """Returns a page, newest first. A batch's are its own and those of its generations."""
        wanted = DeliveryFilter(task_id, batch_id, state)
        page = await self._deliveries.page(wanted, limit, cursor)
        return DeliveriesDocument.model_construct(
            items=[delivery_document(one) for one in page.items],
            next_cursor=page.next_cursor,
            previous_cursor=page.previous_cursor,
        )

    async def get(self, delivery_id: UUID) -> DeliveryDocument:
        """Returns one delivery. ProblemError 404."""
        try:
            return delivery_document(await self._deliveries.get(delivery_id))
        except NotFoundError as error:
            raise _unknown() from error

    async def redeliver(self, delivery_id: UUID) -> DeliveryDocument:
        """Have it tried now, and then by the schedule from its beginning. ProblemError 404."""
        try:
            delivery = await self._deliveries.redeliver(delivery_id)
        except NotFoundError as error:
            raise _unknown() from error
        self._deliverer.wake()
        return delivery_document(delivery)


def _unknown() -> ProblemError:
    return ProblemError(
        "not_found", "there is no delivery with this id: it may be gone with its generation"
    )
