"""Keeping, finding and removing uploads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, or_, select, update

from core.problems import FieldProblem
from core.uploads import Referred, takes
from store.artefacts.files import ArtefactFiles
from store.database import Database, insert_into, reads, writes
from store.errors import NotFoundError, UploadExpiredError
from store.tables import artefacts, uploads
from store.uploads.references import is_referred, stale_references
from store.uploads.values import Received, Upload

FOLDER: Final = "uploads"
"""The place of uploads in the storage."""
_PAGE: Final = 100
_TOUCHED_EVERY: Final = timedelta(hours=1)
"""A use is recorded at most so often: the times of expiry are days."""


class Uploads:
    """Reads and writes them. Every method raises StoreUnavailableError."""

    def __init__(self, database: Database, files: ArtefactFiles) -> None:
        self._database = database
        self._files = files

    async def get(self, upload_id: str) -> Upload:
        """Returns an upload. Raises NotFoundError, UploadExpiredError for one that was removed."""
        found = (await self.of_ids([upload_id])).get(upload_id)
        if found is None:
            raise NotFoundError(f"there is no upload {upload_id}")
        if found.removed_at is not None:
            raise UploadExpiredError(upload_id)
        return found

    @reads
    def of_ids(self, connection: Connection, ids: Collection[str]) -> dict[str, Upload]:
        """Returns those that exist, or existed: see ``removed_at``."""
        if not ids:
            return {}
        statement = select(uploads).where(uploads.c.id.in_(set(ids)))
        rows = (connection.execute(statement)).mappings()
        return {row["id"]: Upload.from_row(row) for row in rows}

    async def keep(self, received: Received) -> tuple[Upload, bool]:
        """Keep a file that has arrived. Returns the upload, and whether it is new.

        The file is moved away from where it arrived. Raises ArtefactStoreError (NoSpaceError,
        StorageAwayError) when it cannot be stored: nothing is kept then.
        """
        known = (await self.of_ids([received.id])).get(received.id)
        if known is not None and await self._is_whole(known):
            if await self.touch([known.id]):
                return known, False
            known = (await self.of_ids([received.id])).get(received.id)  # it has just expired
        # With a random part: a removal that is still going on cannot take this file with it.
        path = f"{FOLDER}/{received.id[:2]}/{received.id}-{uuid4().hex[:8]}.{received.extension}"
        if known is None:
            await self._announce(received, path)
        await self._files.put_file(path, received.file)
        before = None if known is None else known.path
        if not await self._insert(received, path, before):  # another has kept the same bytes
            await self._files.remove_file(path)
        elif before is not None:
            await self._files.remove_file(before)
        return await self.get(received.id), known is None or known.removed_at is not None

    @writes
    def _announce(self, connection: Connection, received: Received, path: str) -> None:
        """Write a tombstone first: the audit then knows whose the file of a crash is."""
        now = datetime.now(UTC)
        values = {**_columns(received), "name": "", "path": path, "created_at": now}
        values |= {"last_used_at": now, "removed_at": now}
        statement = insert_into(connection, uploads).values(id=received.id, **values)
        connection.execute(statement.on_conflict_do_nothing())

    async def _is_whole(self, known: Upload) -> bool:
        if known.removed_at is not None:
            return False
        return await self._files.size(known.path) == known.bytes

    @writes
    def _insert(
        self, connection: Connection, received: Received, path: str, before: str | None
    ) -> bool:
        """Write the row, in place of a tombstone or of one whose file is gone (``before``)."""
        now = datetime.now(UTC)
        values = {**_columns(received), "path": path}
        values |= {"created_at": now, "last_used_at": now, "removed_at": None}
        statement = insert_into(connection, uploads).values(id=received.id, **values)
        gone = or_(uploads.c.removed_at.is_not(None), uploads.c.path == (before or ""))
        statement = statement.on_conflict_do_update(index_elements=["id"], set_=values, where=gone)
        written = connection.execute(statement.returning(uploads.c.id))
        return written.first() is not None

    async def problems(self, referred: Iterable[Referred]) -> list[FieldProblem]:
        """Returns what is wrong with references, by their inputs: each is for a file that is there.

        Uploads that are in order count as used now. Without a reference nothing is read.
        """
        found = list(referred)
        if not found:
            return []
        known = await self.of_ids([one.reference.id for one in found if _is_upload(one)])
        made = await self._artefacts({one.reference.id for one in found if not _is_upload(one)})
        problems = [
            problem
            for one in found
            if (problem := _problem(one, known.get(one.reference.id), made)) is not None
        ]
        before = datetime.now(UTC) - _TOUCHED_EVERY
        stale = [each.id for each in known.values() if each.last_used_at < before]
        if stale and not problems:
            await self.touch(stale)
        return problems

    @reads
    def _artefacts(self, connection: Connection, ids: Collection[str]) -> dict[str, str]:
        """Returns the kinds of those artefacts that are there, by their ids."""
        if not ids:
            return {}
        columns = artefacts.c.id, artefacts.c.kind
        statement = select(*columns).where(artefacts.c.id.in_([UUID(one) for one in ids]))
        rows = (connection.execute(statement)).tuples()
        return {str(artefact_id): kind for artefact_id, kind in rows}

    @writes
    def touch(self, connection: Connection, ids: Collection[str]) -> frozenset[str]:
        """Record that they were used now: from here on their time to expiry counts anew.

        Returns those that were still there.
        """
        touched = connection.execute(
            update(uploads)
            .where(uploads.c.id.in_(set(ids)), uploads.c.removed_at.is_(None))
            .values(last_used_at=datetime.now(UTC))
            .returning(uploads.c.id)
        )
        return frozenset(touched.scalars())

    async def remove(self, upload_id: str) -> None:
        """Remove it for good, whatever refers to it. Raises NotFoundError, ArtefactStoreError.

        A removal that was cut off before the file was gone is completed by the next one.
        """
        found = (await self.of_ids([upload_id])).get(upload_id)
        if found is None:
            raise NotFoundError(f"there is no upload {upload_id}")
        await self._bury(found)
        await self._files.remove_file(found.path)

    @writes
    def _bury(self, connection: Connection, upload: Upload) -> None:
        connection.execute(
            update(uploads)
            .where(uploads.c.id == upload.id, uploads.c.path == upload.path)
            .where(uploads.c.removed_at.is_(None))
            .values(removed_at=datetime.now(UTC), name="")
        )

    async def expire(self, unused_since: datetime, wanted: Collection[str] = ()) -> int:
        """Remove those that nothing has used or referred to since. Returns how many.

        ``wanted`` are referred to from elsewhere, such as schedules. Raises ArtefactStoreError: the
        next call does the rest.
        """
        await self._remove_stale_references()
        count, last = 0, ""
        while page := await self._unused(unused_since, last):
            last = page[-1].id
            for upload in page:
                if upload.id not in wanted and await self._expire(upload, unused_since):
                    await self._files.remove_file(upload.path)
                    count += 1
        return count

    @reads
    def _unused(self, connection: Connection, since: datetime, after: str) -> list[Upload]:
        statement = (
            select(uploads)
            .where(uploads.c.last_used_at < since, uploads.c.removed_at.is_(None))
            .where(~is_referred(), uploads.c.id > after)
            .order_by(uploads.c.id)
            .limit(_PAGE)
        )
        rows = (connection.execute(statement)).mappings()
        return [Upload.from_row(row) for row in rows]

    @writes
    def _expire(self, connection: Connection, upload: Upload, since: datetime) -> bool:
        """Bury it unless it was used meanwhile: the row is asked again under its lock."""
        own = select(uploads.c.id).where(uploads.c.id == upload.id)
        connection.execute(own.with_for_update())  # see references.py
        done = connection.execute(
            update(uploads)
            .where(uploads.c.id == upload.id, uploads.c.removed_at.is_(None))
            .where(uploads.c.last_used_at < since, ~is_referred())
            .values(removed_at=datetime.now(UTC), name="")
        )
        return done.rowcount == 1

    @writes
    def _remove_stale_references(self, connection: Connection) -> None:
        for statement in stale_references():
            connection.execute(statement)

    @reads
    def named_paths(self, connection: Connection, paths: Collection[str]) -> Mapping[str, Upload]:
        """Returns which of these files are those of uploads, for the audit."""
        statement = select(uploads).where(
            uploads.c.path.in_(set(paths)), uploads.c.removed_at.is_(None)
        )
        rows = (connection.execute(statement)).mappings()
        return {row["path"]: Upload.from_row(row) for row in rows}

    @reads
    def page(self, connection: Connection, after: str, limit: int = _PAGE) -> list[Upload]:
        """Returns uploads in the order of their ids, tombstones left out."""
        statement = (
            select(uploads)
            .where(uploads.c.id > after, uploads.c.removed_at.is_(None))
            .order_by(uploads.c.id)
            .limit(limit)
        )
        rows = (connection.execute(statement)).mappings()
        return [Upload.from_row(row) for row in rows]


def _is_upload(one: Referred) -> bool:
    return one.reference.source == "upload"


def _problem(one: Referred, upload: Upload | None, made: Mapping[str, str]) -> FieldProblem | None:
    if not _is_upload(one):
        if one.reference.id not in made:
            said = "Easel has nothing with this id: it was deleted, or it never was"
            return FieldProblem(one.loc, "unknown_artefact", said)
        kind = made[one.reference.id]
    elif upload is None:
        said = "there is no such upload: send the file first (POST /api/v1/uploads)"
        return FieldProblem(one.loc, "unknown_upload", said)
    elif upload.removed_at is not None:
        return FieldProblem(one.loc, "upload_expired", "it has expired: send the file again")
    else:
        kind = upload.kind
    if takes(one.input_type, kind):
        return None
    said = f"it takes a file of the kind {one.input_type}, and this is of the kind {kind}"
    return FieldProblem(one.loc, "wrong_kind", said)


def _columns(received: Received) -> dict[str, Any]:
    names = (name for name in Received.__dataclass_fields__ if name not in ("id", "file"))
    return {name: getattr(received, name) for name in names}
