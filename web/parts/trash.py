"""Deletes that can be undone: for some seconds nothing is deleted, only hidden."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

from api.errors import ProblemError
from api.generations.facade import Facade
from store.errors import StoreError

UNDO_S: Final = 8.0
"""Seconds in which a delete can be undone."""
_log = logging.getLogger(__name__)


class Trash:
    """Pending deletes. They belong to the process: closing a page changes nothing."""

    def __init__(self, facade: Callable[[], Facade]) -> None:
        self._facade = facade
        self._waiting: dict[UUID, asyncio.TimerHandle] = {}
        self._deleting: set[asyncio.Task[None]] = set()

    def __contains__(self, generation_id: object) -> bool:
        return generation_id in self._waiting

    @property
    def ids(self) -> tuple[UUID, ...]:
        """Returns the hidden generations."""
        return tuple(self._waiting)

    def put(self, ids: Iterable[UUID]) -> None:
        """Hide them now, delete them for good after ``UNDO_S``."""
        loop = asyncio.get_running_loop()
        for generation_id in ids:
            if generation_id not in self._waiting:
                self._waiting[generation_id] = loop.call_later(UNDO_S, self._due, generation_id)

    def undo(self, ids: Iterable[UUID]) -> None:
        """Show them again; those already deleted are ignored."""
        for generation_id in ids:
            handle = self._waiting.pop(generation_id, None)
            if handle is not None:
                handle.cancel()

    def _due(self, generation_id: UUID) -> None:
        task = asyncio.get_running_loop().create_task(self._delete(generation_id))
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)

    async def _delete(self, generation_id: UUID) -> None:
        try:
            await self._facade().delete(generation_id)
        except (StoreError, ProblemError) as error:
            _log.warning("%s could not be deleted: %s", generation_id, error)
        finally:
            self._waiting.pop(generation_id, None)
