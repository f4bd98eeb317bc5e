"""The audit of uploads: their rows against their files, and the files against the rows."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from core.uploads import parse_upload_id
from store.artefacts.durable import TEMPORARY
from store.artefacts.files import ArtefactFiles
from store.errors import ArtefactStoreError
from store.uploads.uploads import FOLDER, Uploads
from store.uploads.values import Upload

_TOGETHER: Final = 200
_LOOKED_AT_TOGETHER: Final = 20


UploadFindingKind = Literal[
    "missing_file", "wrong_bytes", "orphan_file", "temporary_file", "unknown_file"
]


@dataclass(frozen=True)
class UploadFinding:
    """A mismatch; see ``store.audit.AuditFinding``."""

    kind: UploadFindingKind
    path: str
    detail: str


class UploadAudit:
    """Only reads. What may be removed is said by ``is_unwanted``, right before it is."""

    def __init__(self, uploads: Uploads, files: ArtefactFiles) -> None:
        self._uploads = uploads
        self._files = files

    async def of_rows(self, *, checksums: bool) -> AsyncIterator[UploadFinding]:
        """Yields uploads whose file is missing or wrong."""
        last = ""
        while page := await self._uploads.page(last):
            last = page[-1].id
            for start in range(0, len(page), _LOOKED_AT_TOGETHER):
                some = page[start : start + _LOOKED_AT_TOGETHER]
                found = await asyncio.gather(*(self._look_at(one, checksums) for one in some))
                odd = {one.id: what for one, what in zip(some, found, strict=True) if what}
                still = await self._uploads.of_ids(odd)
                for upload_id, finding in odd.items():
                    if still[upload_id].removed_at is None and (
                        still[upload_id].path == finding.path  # it may have come again meanwhile
                    ):
                        yield finding

    async def _look_at(self, upload: Upload, checksums: bool) -> UploadFinding | None:
        size = await self._files.size(upload.path)
        if size is None:
            return UploadFinding("missing_file", upload.path, "its row names it")
        if size != upload.bytes:
            said = f"it has {size} bytes, and {upload.bytes} were kept"
            return UploadFinding("wrong_bytes", upload.path, said)
        if checksums and await self._digest(upload) != upload.sha256:
            said = "its SHA-256 is not that of what was kept"
            return UploadFinding("wrong_bytes", upload.path, said)
        return None

    async def _digest(self, upload: Upload) -> str:
        digest = hashlib.sha256()
        try:
            async for piece in await self._files.stream(upload.path, 0, upload.bytes):
                await asyncio.to_thread(digest.update, piece)
        except ArtefactStoreError as error:  # one bad file must not end the check of all others
            return str(error)
        return digest.hexdigest()

    async def of_files(self, settled: datetime) -> AsyncIterator[UploadFinding]:
        """Yields files of before ``settled`` that no upload has."""
        page: list[str] = []
        async for file in self._files.listed(FOLDER):
            if file["last_modified"] <= settled:
                page.append(file["path"])
            if len(page) >= _TOGETHER:
                for finding in await self._unwanted(page):
                    yield finding
                page = []
        for finding in await self._unwanted(page):
            yield finding

    async def is_unwanted(self, path: str) -> bool:
        """Asks again."""
        return bool(await self._unwanted([path]))

    async def _unwanted(self, paths: Sequence[str]) -> list[UploadFinding]:
        if not paths:
            return []
        wanted = await self._uploads.named_paths(paths)
        left = [path for path in paths if path not in wanted]
        known = await self._uploads.of_ids([_id_of(path) or "" for path in left])
        return [_judge(path, known=_id_of(path) in known) for path in left]


def _judge(path: str, *, known: bool) -> UploadFinding:
    if not known:
        said = "there never was such an upload here: is this the right database?"
        return UploadFinding("unknown_file", path, said)
    if path.endswith(TEMPORARY):
        return UploadFinding("temporary_file", path, "never finished")
    return UploadFinding("orphan_file", path, "no row names it")


def _id_of(path: str) -> str | None:
    return parse_upload_id(path.rpartition("/")[2][:64])
