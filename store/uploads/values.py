"""An upload as it is kept, and one that has just arrived."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self, cast

from sqlalchemy import RowMapping

from core.uploads import Reference, UploadKind, comfy_name


@dataclass(frozen=True)
class Received:
    """A file that has arrived and was checked; ``file`` is where it lies until it is kept.

    ``id`` is the SHA-256 of the bytes as they came, ``bytes`` and ``sha256`` are those of ``file``:
    a picture was decoded and written again.
    """

    id: str
    kind: UploadKind
    content_type: str
    extension: str
    bytes: int
    sha256: str
    file: Path
    name: str = ""
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Upload:
    """A kept upload. ``removed_at``: it was removed, and only this tombstone is left of it."""

    id: str
    kind: UploadKind
    content_type: str
    extension: str
    bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration_s: float | None
    name: str
    path: str
    created_at: datetime
    last_used_at: datetime
    removed_at: datetime | None

    @classmethod
    def from_row(cls, row: RowMapping) -> Self:
        """Read a row of the ``uploads`` table."""
        values = {name: row[name] for name in cls.__dataclass_fields__}
        return cls(**{**values, "kind": cast("UploadKind", row["kind"])})

    @property
    def reference(self) -> Reference:
        """What an input says to take it."""
        return Reference.to_upload(self.id)

    @property
    def comfy_name(self) -> str:
        """Its name in ComfyUI's input folder."""
        return comfy_name(self.sha256, self.extension)
