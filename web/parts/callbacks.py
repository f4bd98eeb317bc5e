"""The callbacks of a generation or a batch: who hears of what, and the deliveries so far."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from api.deliveries.documents import DeliveryDocument
from api.deliveries.facade import DeliveryFacade
from api.generations.documents import CallbackDocument
from store.errors import StoreError
from web.parts.deliveries import (
    STATE_WORDS,
    DeliveryRow,
    is_due,
    is_troubled,
    receiver_of,
    sum_words,
)
from web.parts.elements import Text, adorn, box, button, icon, show_if
from web.parts.layout import errors_as_toasts

LOOK_EVERY_S: Final = 1.0
SHOWN: Final = 10
"""Number of deliveries shown at first, and added with each press."""
_SELDOM: Final = 4
"""Every this many looks deliveries are read while none is due: other clients may send one again."""
_log = logging.getLogger(__name__)


class Callbacks:
    """``read`` it, ``build`` it, then let it ``look`` at intervals. Without callbacks: nothing.

    It is of one generation, or of a batch and all its generations.
    """

    def __init__(
        self,
        facade: DeliveryFacade,
        callbacks: Sequence[CallbackDocument],
        *,
        task_id: UUID | None = None,
        batch_id: UUID | None = None,
    ) -> None:
        self._facade = facade
        self._callbacks = tuple(callbacks)
        self._receivers = [_receiver(one) for one in callbacks]
        self._task_id = task_id
        self._batch_id = batch_id
        self._documents: list[DeliveryDocument] = []
        self._rows: dict[UUID, DeliveryRow] = {}
        self._wanted = SHOWN
        self._has_more = False
        self._looks = 0
        self._is_built = False
        self._turn = asyncio.Lock()

    async def read(self) -> None:
        """Read the deliveries. Raises StoreError."""
        if not self._callbacks:
            return
        page = await self._facade.page(self._wanted, task_id=self._task_id, batch_id=self._batch_id)
        self._documents, self._has_more = page.items, page.next_cursor is not None

    def build(self) -> None:
        """Build it here, with what was read."""
        if not self._callbacks:
            return
        self._is_built = True
        is_open = any(map(is_troubled, self._documents))
        self._root = box("fold callbacks", "details", open=is_open)
        with self._root:
            with box("fold-head", "summary"):
                icon("chevron")
                Text("Callback" if len(self._callbacks) == 1 else "Callbacks")
                self._sum = Text("", "callbacks-sum")
            for callback in self._callbacks:
                _build_callback(callback)
            self._list = box("deliveries", "ol")
            self._more = button(
                "Older deliveries", errors_as_toasts(self._show_more), classes="btn-small"
            )
            self._said = adorn(Text("", "sr-only"), role="status")
        self._show()

    def show(self) -> None:
        """Show its times in the visitor's zone, now that this is known."""
        if self._is_built:
            self._show()

    async def look(self) -> None:
        """Show what has changed. Without callbacks this reads nothing."""
        if not self._is_built:
            return
        self._looks += 1
        if self._looks % _SELDOM and not any(map(is_due, self._documents)):
            return
        try:
            await self._refresh()
        except StoreError as error:
            _log.warning("refreshing deliveries failed; retrying: %s", error)

    async def _refresh(self) -> None:
        async with self._turn:  # an older result is never shown over a newer one
            await self.read()
            if not self._root.is_deleted:
                self._show()

    # --- showing

    def _show(self) -> None:
        self._sum.text = _sum_line(self._documents, has_more=self._has_more)
        failed = any(document.state == "failed" for document in self._documents)
        self._sum.classes(replace="callbacks-sum is-bad" if failed else "callbacks-sum")
        show_if(self._more, self._has_more)
        known = {document.delivery_id for document in self._documents}
        for gone in self._rows.keys() - known:
            self._rows.pop(gone).root.delete()
        for place, document in enumerate(self._documents):
            self._show_row(place, document)

    def _show_row(self, place: int, document: DeliveryDocument) -> None:
        row = self._rows.get(document.delivery_id)
        if row is not None:
            if row.document.state != document.state:
                self._said.text = f"{document.type}: {STATE_WORDS[document.state].lower()}"
            row.show(document)
            return
        with self._list:
            redeliver = errors_as_toasts(self._redeliver)
            row = DeliveryRow(
                document,
                redeliver,
                links_image=self._task_id is None,
                names_receiver=self._receivers != [receiver_of(document)],
            )
        row.root.move(self._list, target_index=place)
        self._rows[document.delivery_id] = row

    # --- what the visitor does

    async def _redeliver(self, delivery_id: UUID) -> None:
        await self._facade.redeliver(delivery_id)
        await self._refresh()

    async def _show_more(self) -> None:
        self._wanted += SHOWN
        await self._refresh()


def _sum_line(documents: Sequence[DeliveryDocument], *, has_more: bool) -> str:
    """Returns how the deliveries stand; of many only some have been read."""
    if has_more:
        return f"newest {len(documents):,}: {sum_words(documents)}"
    return sum_words(documents) or "nothing sent yet"


def _receiver(callback: CallbackDocument) -> str:
    return callback.name or callback.host or ""


def _build_callback(callback: CallbackDocument) -> None:
    with box("callback", "p"):
        adorn(Text(_receiver(callback), "callback-receiver"), dir="auto")
        Text("hears of", "muted")
        for event in callback.events:
            Text(event, "code")
