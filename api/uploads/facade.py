"""What can be done with uploads, as functions: for the routes and for the pages of web."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from fastapi import Request

from api.disk import DiskReserve
from api.errors import ProblemError
from api.generations.facade import DISK_RETRY_AFTER_S
from api.uploads.arriving import Arrived, receive
from api.uploads.documents import UploadDocument, upload_document
from api.uploads.pictures import normalise
from core.artefacts import FileType
from core.settings import UploadSettings
from store.artefacts.media import facts_of
from store.errors import NoSpaceError
from store.store import Store
from store.uploads.values import Received, Upload

DECODED_AT_ONCE: Final = 2
"""Files that are decoded at the same time: a picture of 50 megapixels takes 400 MB meanwhile."""
TOUCHED_EVERY: Final = timedelta(hours=1)
"""A use is recorded at most so often: the times of expiry are days."""
LEFT_AFTER_S: Final = 3600.0
"""A file that arrives for longer than this belongs to a process that died."""
_PREFIX: Final = "upload-"


class UploadFacade:
    """Receives uploads and gives them back. ``incoming`` is the folder where they arrive."""

    def __init__(
        self, store: Store, settings: UploadSettings, incoming: Path, disk: DiskReserve
    ) -> None:
        self.store = store
        self.settings = settings
        self._incoming = incoming
        self._disk = disk
        self._decoding = asyncio.Semaphore(DECODED_AT_ONCE)

    async def receive(self, request: Request) -> tuple[UploadDocument, bool]:
        """Keep the file in a request's body. Returns its document, and whether it is new.

        Raises ProblemError, HTTPException, StoreUnavailableError, ArtefactStoreError.
        """
        await self._check_room()
        try:
            folder = await asyncio.to_thread(_arrival, self._incoming)
            with folder:
                place = Path(folder.name)
                arrived = await receive(request, place / "arrived", self.settings)
                received = await self._normal(arrived, place / "normal")
                upload, is_new = await self.store.uploads.keep(received)
        except (OSError, NoSpaceError) as error:
            raise ProblemError(
                "disk_full",
                "the upload could not be written to the disk",
                headers={"Retry-After": str(DISK_RETRY_AFTER_S)},
            ) from error
        return self.document(upload), is_new

    async def _check_room(self) -> None:
        room = await self._disk.room()
        if room is not None and not room.is_enough:
            raise ProblemError(
                "disk_full", f"{room}", headers={"Retry-After": str(DISK_RETRY_AFTER_S)}
            )

    async def _normal(self, arrived: Arrived, target: Path) -> Received:
        kind = arrived.type
        if kind.decoder is None:
            return await self._as_it_came(arrived)
        async with self._decoding:
            picture = await asyncio.to_thread(
                normalise, arrived.file, target, kind.decoder, self.settings.pixels
            )
        return Received(
            id=arrived.sha256,
            kind=kind.kind,
            content_type="image/png",
            extension="png",
            bytes=picture.bytes,
            sha256=picture.sha256,
            file=target,
            name=arrived.name,
            width=picture.width,
            height=picture.height,
        )

    async def _as_it_came(self, arrived: Arrived) -> Received:
        kind = arrived.type
        received = Received(
            id=arrived.sha256,
            kind=kind.kind,
            content_type=kind.content_type,
            extension=kind.extension,
            bytes=arrived.bytes,
            sha256=arrived.sha256,
            file=arrived.file,
            name=arrived.name,
        )
        if kind.kind != "video" and kind.kind != "audio":
            return received
        async with self._decoding:
            facts = await facts_of(
                arrived.file, FileType(kind.kind, kind.content_type, kind.extension)
            )
        return replace(
            received, width=facts.width, height=facts.height, duration_s=facts.duration_s
        )

    async def get(self, upload_id: str) -> Upload:
        """Returns an upload, whose time counts anew. Raises NotFoundError, UploadExpiredError."""
        found = await self.store.uploads.get(upload_id)
        if found.last_used_at < datetime.now(UTC) - TOUCHED_EVERY:
            await self.store.uploads.touch([upload_id])
        return found

    async def remove(self, upload_id: str) -> None:
        """Remove it for good. Raises NotFoundError, ArtefactStoreError."""
        await self.store.uploads.remove(upload_id)

    def document(self, upload: Upload) -> UploadDocument:
        """Returns an upload as clients read it."""
        return upload_document(upload, timedelta(days=self.settings.keep_days))

    async def tidy(self) -> None:
        """Remove what processes that died have left where uploads arrive."""
        await asyncio.to_thread(_tidy, self._incoming)


def _arrival(incoming: Path) -> tempfile.TemporaryDirectory[str]:
    incoming.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=_PREFIX, dir=incoming, ignore_cleanup_errors=True)


def _tidy(incoming: Path) -> None:
    if not incoming.is_dir():
        return
    for place in incoming.glob(f"{_PREFIX}*"):
        try:
            if place.stat().st_mtime < time.time() - LEFT_AFTER_S:
                for file in place.iterdir():
                    file.unlink(missing_ok=True)
                place.rmdir()
        except OSError:  # another process tidies too
            continue
