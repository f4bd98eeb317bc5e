"""Connects the change feed to a page: one subscription for each open page."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from nicegui import background_tasks, ui

from api.generations.facade import Facade
from store.errors import StoreError
from store.values import Generation

_log = logging.getLogger(__name__)


class Live:
    """Create it before the page reads anything, ``start`` it after: no change is missed."""

    def __init__(self, facade: Facade) -> None:
        self._client = ui.context.client
        self._held = facade.subscribe()
        self._subscription = self._held.__enter__()
        self._client.on_delete(lambda: self._held.__exit__(None, None, None))

    def start(self, changed: Callable[[Generation], Awaitable[None]]) -> None:
        """Call ``changed`` with every change, one after the other, as long as the page lives."""
        task = background_tasks.create(self._run(changed), name="live page")
        self._client.on_delete(lambda: task.cancel() and None)

    async def _run(self, changed: Callable[[Generation], Awaitable[None]]) -> None:
        async for generation in self._subscription.changes():
            try:
                with self._client:
                    await changed(generation)
            except StoreError as error:
                _log.warning("a page missed a change: %s", error)
            except Exception:  # noqa: BLE001 - one change, not all that follow
                _log.exception("a page could not show a change")
