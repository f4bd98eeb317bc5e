"""What refers to uploads: generations and batches, by their requests.

A reference is written with the row that has it. One whose generation was deleted, or whose batch
was removed, counts no more; the sweep removes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Delete, delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.requests import files_of
from store.database import insert_into
from store.tables import batches, generations, upload_references, uploads


async def refer(connection: AsyncConnection, requests: Iterable[tuple[UUID, Any]]) -> None:
    """Record which uploads the stored requests of these generations (or batches) refer to.

    In the caller's transaction; without a reference in them nothing is executed. A text that only
    looks like a reference is none.
    """
    found = {
        (reference.id, subject)
        for subject, request in requests
        for reference in files_of(request)
        if reference.source == "upload"
    }
    if found:
        rows = [{"upload_id": upload_id, "subject": subject} for upload_id, subject in found]
        statement = insert_into(connection, upload_references).on_conflict_do_nothing()
        await connection.execute(statement, rows)


def is_referred() -> ColumnElement[bool]:
    """Whether a generation or a batch refers to the row of ``uploads``."""
    of_this = upload_references.c.upload_id == uploads.c.id
    return exists(select(1).select_from(upload_references).where(of_this, _stands()))


def stale_references() -> Delete:
    """Returns the statement that removes references of what is gone."""
    return delete(upload_references).where(~_stands())


def _stands() -> ColumnElement[bool]:
    subject = upload_references.c.subject
    generation = select(1).where(generations.c.id == subject, generations.c.deleted_at.is_(None))
    return or_(exists(generation), exists(select(1).where(batches.c.id == subject)))
