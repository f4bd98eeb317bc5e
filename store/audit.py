"""The audit: rows are checked against files, and files against rows.

A crash may leave a file that no row names, or a row may outlive its file. Neither breaks a
promise, but only a scan finds them: orphans by walking all files, missing files by walking the
rows, both a page at a time, while Easel runs or is stopped.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, Select, select

from store.artefacts.files import ArtefactFiles, StoredFile
from store.database import Database, reads
from store.errors import ArtefactStoreError
from store.generations.rows import ACTIVE
from store.tables import artefacts, generations
from store.uploads.audit import UploadAudit
from store.uploads.uploads import Uploads
from store.values import Artefact

FindingKind = Literal[
    "missing_file", "wrong_bytes", "orphan_file", "temporary_file", "unknown_file"
]
SETTLE_S: Final = 300.0
"""Files younger than this many seconds are skipped: their row may not be committed yet."""
_PAGE: Final = 500
_LOOKED_AT_TOGETHER: Final = 20


@dataclass(frozen=True)
class AuditFinding:
    """A mismatch between rows and files.

    ``missing_file``: a row names a file that is not there. ``wrong_bytes``: the file is not what
    was kept. ``orphan_file``: no row names it. ``temporary_file``: it was never finished.
    ``unknown_file``: this database never had such a generation, so it may be another one (an old
    backup, perhaps) and the file may be wanted: it is reported and never removed.
    ``repaired``: the file was removed. ``generation_id`` is None for a file of an upload.
    """

    kind: FindingKind
    generation_id: UUID | None
    path: str
    detail: str
    repaired: bool = False


class Audit:
    """Checks everything that is kept. Only reads rows; removes files only when asked to."""

    def __init__(self, database: Database, files: ArtefactFiles) -> None:
        self._database = database
        self._files = files
        self._uploads = UploadAudit(Uploads(database, files), files)

    async def findings(
        self, *, repair: bool, checksums: bool = False, settle_s: float = SETTLE_S
    ) -> AsyncIterator[AuditFinding]:
        """Yields every mismatch.

        With ``repair``, orphans and temporary files are removed; missing files and wrong bytes are
        only reported. ``checksums`` reads every artefact. Files of active generations, and those
        younger than ``settle_s`` seconds, are skipped.

        Raises StoreUnavailableError, ArtefactStoreError.
        """
        async for finding in self._of_rows(checksums=checksums):
            yield finding
        settled = datetime.now(UTC) - timedelta(seconds=settle_s)
        async for finding in self._of_files(settled):
            if not repair or finding.kind == "unknown_file":
                yield finding
            elif await self._is_still_unwanted(finding):
                await self._files.remove_file(finding.path)
                yield replace(finding, repaired=True)
        async for finding in self._of_uploads(settled, repair=repair, checksums=checksums):
            yield finding

    async def _of_uploads(
        self, settled: datetime, *, repair: bool, checksums: bool
    ) -> AsyncIterator[AuditFinding]:
        async for found in self._uploads.of_rows(checksums=checksums):
            yield AuditFinding(found.kind, None, found.path, found.detail)
        async for found in self._uploads.of_files(settled):
            finding = AuditFinding(found.kind, None, found.path, found.detail)
            if not repair or finding.kind == "unknown_file":
                yield finding
            elif await self._uploads.is_unwanted(found.path):
                await self._files.remove_file(found.path)
                yield replace(finding, repaired=True)

    # --- rows without files

    async def _of_rows(self, *, checksums: bool) -> AsyncIterator[AuditFinding]:
        last: UUID | None = None
        while page := await self._page_of_artefacts(last):
            last = page[-1].id
            for start in range(0, len(page), _LOOKED_AT_TOGETHER):
                some = page[start : start + _LOOKED_AT_TOGETHER]
                looks = [self._look_at(artefact, checksums=checksums) for artefact in some]
                looked = zip(some, await asyncio.gather(*looks), strict=True)
                odd = {artefact.id: found for artefact, found in looked if found}
                for artefact_id in await self._still_there(odd):
                    for finding in odd[artefact_id]:
                        yield finding

    @reads
    def _page_of_artefacts(self, connection: Connection, after: UUID | None) -> Sequence[Artefact]:
        statement = select(artefacts).order_by(artefacts.c.id).limit(_PAGE)
        if after is not None:
            statement = statement.where(artefacts.c.id > after)
        rows = (connection.execute(statement)).mappings()
        return [Artefact.from_row(row) for row in rows]

    async def _look_at(self, artefact: Artefact, *, checksums: bool) -> list[AuditFinding]:
        found: list[AuditFinding] = []
        for path in artefact.paths:
            size = await self._files.size(path)
            if size is None:
                found.append(_finding("missing_file", artefact, path, "its row names it"))
            elif path == artefact.path:
                wrong = await self._what_is_wrong(artefact, size, checksums=checksums)
                if wrong is not None:
                    found.append(_finding("wrong_bytes", artefact, path, wrong))
        return found

    async def _what_is_wrong(self, artefact: Artefact, size: int, *, checksums: bool) -> str | None:
        if size != artefact.bytes:
            return f"it has {size} bytes, and {artefact.bytes} were kept"
        if not checksums:
            return None
        digest = hashlib.sha256()
        try:
            async for part in await self._files.stream(artefact.path, 0, size):
                await asyncio.to_thread(digest.update, part)
        except ArtefactStoreError as error:  # one bad file must not end the check of all others
            return str(error)
        return (
            None
            if digest.hexdigest() == artefact.sha256
            else "its SHA-256 is not that of what was kept"
        )

    @reads
    def _still_there(self, connection: Connection, ids: Collection[UUID]) -> Sequence[UUID]:
        """Returns the rows that still exist: one may have gone while its files were checked."""
        if not ids:
            return []
        statement = select(artefacts.c.id).where(artefacts.c.id.in_(ids)).order_by(artefacts.c.id)
        return (connection.execute(statement)).scalars().all()

    # --- files without rows

    async def _of_files(self, settled: datetime) -> AsyncIterator[AuditFinding]:
        page: list[StoredFile] = []
        async for file in self._files.stored():
            if file.last_modified <= settled:
                page.append(file)
            if len(page) >= _PAGE:
                for finding in await self._unwanted(page):
                    yield finding
                page = []
        for finding in await self._unwanted(page):
            yield finding

    @reads
    def _unwanted(self, connection: Connection, files: Sequence[StoredFile]) -> list[AuditFinding]:
        owners = {file.generation_id for file in files}
        if not owners:
            return []
        rows = connection.execute(_standing(owners))
        standing = {row.id: "deleted" if row.deleted_at is not None else row.status for row in rows}
        wanted = {path for row in connection.execute(_named(owners)) for path in row}
        return [
            finding
            for file in files
            if (finding := _judge(file, standing.get(file.generation_id, "unknown"), wanted))
        ]

    async def _is_still_unwanted(self, finding: AuditFinding) -> bool:
        """Check again, right before the file is removed: the generation may have changed."""
        assert finding.generation_id is not None
        file = StoredFile(finding.generation_id, finding.path, 0, datetime.now(UTC))
        return await self._unwanted([file]) != []


def _standing(owners: set[UUID]) -> Select[tuple[UUID, str, datetime | None]]:
    return select(generations.c.id, generations.c.status, generations.c.deleted_at).where(
        generations.c.id.in_(owners)
    )


def _named(owners: set[UUID]) -> Select[tuple[str, str | None]]:
    """Returns the paths that rows name."""
    return select(artefacts.c.path, artefacts.c.poster_path).where(
        artefacts.c.generation_id.in_(owners)
    )


def _judge(file: StoredFile, standing: str, wanted: set[str]) -> AuditFinding | None:
    if standing in ACTIVE or file.path in wanted:
        return None
    if standing == "unknown":
        detail = "there never was such a generation here: is this the right database?"
        return AuditFinding("unknown_file", file.generation_id, file.path, detail)
    if file.is_temporary:
        detail = f"never finished; its generation is {standing}"
        return AuditFinding("temporary_file", file.generation_id, file.path, detail)
    detail = "no row names it" if standing == "succeeded" else f"its generation is {standing}"
    return AuditFinding("orphan_file", file.generation_id, file.path, detail)


def _finding(kind: FindingKind, artefact: Artefact, path: str, detail: str) -> AuditFinding:
    return AuditFinding(kind, artefact.generation_id, path, detail)


__all__ = ["SETTLE_S", "Audit", "AuditFinding", "FindingKind"]
