"""An upload as clients read it."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import Field

from api.documents import Document
from core.uploads import UploadKind
from store.uploads.values import Upload

URL = "/api/v1/uploads"


class UploadDocument(Document):
    """A kept upload. An input takes it as `upload:<upload_id>`."""

    upload_id: str = Field(
        description="The SHA-256 of the bytes as they were received: the same bytes have the same."
    )
    kind: UploadKind = Field(description="A mask is an image.")
    name: str = Field(description="The file's own name, if it came with one.")
    content_type: str
    bytes: int = Field(description="Of the file as it is kept: images are kept as PNG.")
    sha256: str = Field(description="Of the file as it is kept.")
    width: int | None = Field(description="Of an image, in pixels, turned upright.")
    height: int | None
    duration_s: float | None = Field(description="Of a video or a sound, where it is known.")
    created_at: datetime
    expires_at: datetime = Field(
        description="It expires then at the earliest: not while a generation, a batch or a "
        "schedule refers to it, and every use puts it off."
    )
    url: str


def upload_document(upload: Upload, kept_for: timedelta) -> UploadDocument:
    """Returns an upload's document."""
    return UploadDocument(
        upload_id=upload.id,
        kind=upload.kind,
        name=upload.name,
        content_type=upload.content_type,
        bytes=upload.bytes,
        sha256=upload.sha256,
        width=upload.width,
        height=upload.height,
        duration_s=upload.duration_s,
        created_at=upload.created_at,
        expires_at=upload.last_used_at + kept_for,
        url=f"{URL}/{upload.id}",
    )
