"""Manifest files that visitors chose: on disk until another is chosen or they are old."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final
from uuid import uuid4

import humanize
from nicegui.elements.upload_files import FileUpload
from pydantic import BaseModel

from api.errors import ProblemError
from core.batches.manifest import Kind, guess_kind

KEPT_S: Final = 30 * 86_400.0
"""A file that was not used for this long is removed."""
_NAME_SHOWN: Final = 120


class KeptFile(BaseModel):
    """A chosen file: its original name, and where it is stored."""

    id: str
    name: str
    kind: Kind
    size: int


class Manifests:
    """The folder with the files."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self.most_bytes = most_bytes

    async def keep(self, upload: FileUpload) -> KeptFile:
        """Store an upload. ProblemError when it is not a manifest, or too long."""
        kind = guess_kind(upload.name) or guess_kind(upload.content_type)
        if kind is None:
            raise ProblemError(
                "unsupported_media_type",
                "The file must be CSV or JSON Lines: its name ends with .csv, .jsonl or .ndjson.",
            )
        if upload.size() > self.most_bytes:
            raise ProblemError(
                "payload_too_large",
                f"The file may have {humanize.naturalsize(self.most_bytes)} at most.",
            )
        kept = KeptFile(
            id=uuid4().hex, name=upload.name[-_NAME_SHOWN:], kind=kind, size=upload.size()
        )
        await upload.save(self._path(kept))
        return kept

    def path(self, kept: KeptFile) -> Path:
        """Returns its path. ProblemError when it was removed meanwhile."""
        path = self._path(kept)
        if not path.exists():
            raise ProblemError(
                "not_found", f"“{kept.name}” is not stored any more: choose the file again."
            )
        return path

    async def forget(self, kept: KeptFile) -> None:
        """Remove it."""
        await asyncio.to_thread(self._path(kept).unlink, missing_ok=True)

    def prune(self) -> None:
        """Remove files that were not used for long."""
        forgotten = time.time() - KEPT_S
        for path in self._folder.glob("manifest-*"):
            if path.stat().st_mtime < forgotten:
                path.unlink(missing_ok=True)

    def _path(self, kept: KeptFile) -> Path:
        return self._folder / f"manifest-{kept.id}"
