"""Retention: removes what is old, pictures first or everything at once, as the settings say.

Each generation is removed in its own transaction, so that no writer waits for all of them; its
files follow the commit. A crash in between leaves files without a row: the audit finds them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, select

from core.status import FINAL
from store.artefacts.files import ArtefactFiles
from store.batches.queries import Batches
from store.batches.transitions import BatchTransitions
from store.database import Database, reads, writes
from store.errors import ConflictError, NotFoundError
from store.generations import rows
from store.generations.transitions import Transitions
from store.tables import artefacts, generations
from store.uploads.references import are_wanted

HALF_ACCEPTED: Final = timedelta(hours=1)
"""A batch in acceptance for longer than this belongs to a process that died."""
_PAGE: Final = 100


@dataclass(frozen=True)
class Swept:
    """How many generations lost their pictures, how many were removed, and how many batches."""

    pictures: int
    generations: int
    batches: int


class Retention:
    """Removes what is old, by the time of the end (``finished_at``), not of the request."""

    def __init__(self, database: Database, files: ArtefactFiles) -> None:
        self._database = database
        self._files = files
        self._transitions = Transitions(database)
        self._batches = Batches(database)
        self._batch_transitions = BatchTransitions(database)

    async def sweep(
        self, now: datetime, *, pictures_days: float | None, generations_days: float | None
    ) -> Swept:
        """Remove what is older than so many days; None keeps it forever.

        Raises StoreUnavailableError, ArtefactStoreError: the next sweep removes the rest.
        """
        removed = batches = 0
        if generations_days is not None:
            removed = await self.remove_generations(now - timedelta(days=generations_days))
            batches = await self.remove_batches(now - timedelta(days=generations_days))
        await self._batch_transitions.discard_stale(now - HALF_ACCEPTED)
        expired = 0
        if pictures_days is not None:
            expired = await self.expire_pictures(now - timedelta(days=pictures_days))
        return Swept(pictures=expired, generations=removed, batches=batches)

    async def expire_pictures(self, older_than: datetime) -> int:
        """Remove the pictures of what succeeded before; the generation stays. Returns how many.

        Raises StoreUnavailableError, ArtefactStoreError.
        """
        count = 0
        wanted = (generations.c.status == "succeeded", generations.c.expired_at.is_(None))
        async for generation_id in self._ended_before(older_than, *wanted):
            if await self._expire(generation_id, older_than):
                await self._files.remove_generation(generation_id)
                count += 1
        return count

    async def remove_generations(self, older_than: datetime) -> int:
        """Delete what ended before, as a client's delete does. Returns how many.

        Raises StoreUnavailableError, ArtefactStoreError.
        """
        count = 0
        async for generation_id in self._ended_before(older_than):
            try:
                await self._transitions.delete(generation_id, ended_before=older_than)
            except ConflictError:  # retried meanwhile, or its artefacts are inputs of others
                continue
            await self._files.remove_generation(generation_id)
            count += 1
        return count

    async def remove_batches(self, older_than: datetime) -> int:
        """Remove batches that ended before, with their items; generations are removed separately.

        Raises StoreUnavailableError.
        """
        count = 0
        while old := await self._batches.ended_before(older_than, _PAGE):
            for batch_id in old:
                await self._batch_transitions.remove(batch_id)
            count += len(old)
        return count

    async def _ended_before(
        self, older_than: datetime, *wanted: ColumnElement[bool]
    ) -> AsyncIterator[UUID]:
        last = 0
        while True:
            page = await self._page(*_ended(older_than), generations.c.seq > last, *wanted)
            for generation_id, seq in page:
                last = seq
                yield generation_id
            if len(page) < _PAGE:
                return

    @reads
    def _page(self, connection: Connection, *wanted: ColumnElement[bool]) -> list[tuple[UUID, int]]:
        statement = (
            select(generations.c.id, generations.c.seq)
            .where(*wanted)
            .order_by(generations.c.seq)
            .limit(_PAGE)
        )
        return [(row.id, row.seq) for row in connection.execute(statement)]

    @writes
    def _expire(self, connection: Connection, generation_id: UUID, older_than: datetime) -> bool:
        """Remove its pictures' rows and record when.

        Returns False if it was deleted or done meanwhile, or others that are under way take them.
        """
        try:
            row = rows.locked(connection, generation_id)
        except NotFoundError:
            return False
        finished_at = row["finished_at"]
        if row["status"] != "succeeded" or finished_at is None or finished_at >= older_than:
            return False
        if row["expired_at"] is not None or are_wanted(connection, generation_id):
            return False
        connection.execute(delete(artefacts).where(artefacts.c.generation_id == generation_id))
        rows.write(connection, row, expired_at=datetime.now(UTC))
        return True


def _ended(older_than: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        generations.c.status.in_(FINAL),
        generations.c.finished_at < older_than,
        generations.c.deleted_at.is_(None),
    )


__all__ = ["Retention", "Swept"]
