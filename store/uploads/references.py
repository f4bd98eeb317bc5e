"""What refers to files: generations and batches, by their requests.

A reference is written with the row that has it. Uploads are kept as long as a generation or batch
is there that refers to them, artefacts until it has ended. The sweep removes references of what is
gone.

Who refers to a file locks it before the reference is written, and who removes it locks it before
the references are read: so one of them sees what the other did. Several files are locked in the
order of their ids, so that no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Delete, delete, exists, or_, select

from core.requests import files_of
from core.status import FINAL
from core.uploads import Reference
from store.database import insert_new_into
from store.errors import FilesGoneError
from store.tables import (
    artefact_references,
    artefacts,
    batches,
    generations,
    upload_references,
    uploads,
)

_TABLES: Final = (upload_references, artefact_references)


def confirm(connection: Connection, requests: Iterable[Any]) -> None:
    """Make sure that every file is there which these stored requests take, until the commit.

    Without a reference in them nothing is executed. Raises FilesGoneError.
    """
    wanted = {one for request in requests for one in files_of(request)}
    if not wanted:
        return
    named = [one.id for one in wanted if one.source == "upload"]
    made = [one.artefact_id for one in wanted if one.source == "artefact"]
    left = select(uploads.c.id).where(uploads.c.id.in_(named), uploads.c.removed_at.is_(None))
    kept = select(artefacts.c.id).where(artefacts.c.id.in_(made))
    there: set[Reference] = set()
    if named:
        left = left.order_by(uploads.c.id).with_for_update(read=True)
        ids = (connection.execute(left)).scalars()
        there.update(Reference("upload", one) for one in ids)
    if made:
        kept = kept.order_by(artefacts.c.id).with_for_update(read=True)
        found = (connection.execute(kept)).scalars()
        there.update(Reference("artefact", str(one)) for one in found)
    if wanted - there:
        raise FilesGoneError(sorted(map(str, wanted - there)))


def refer(connection: Connection, requests: Iterable[tuple[UUID, Any]]) -> None:
    """Record which files the stored requests of these generations (or batches) refer to.

    In the caller's transaction; without a reference in them nothing is executed. A text that only
    looks like a reference is none.
    """
    found = {(one, subject) for subject, request in requests for one in files_of(request)}
    named = [
        {"upload_id": one.id, "subject": subject}
        for one, subject in found
        if one.source == "upload"
    ]
    made = [
        {"artefact_id": one.artefact_id, "subject": subject}
        for one, subject in found
        if one.source == "artefact"
    ]
    for table, rows in ((upload_references, named), (artefact_references, made)):
        if rows:
            connection.execute(insert_new_into(connection, table), rows)


def are_wanted(connection: Connection, generation_id: UUID) -> bool:
    """Returns whether what has not ended yet takes one of the generation's artefacts.

    From here on nothing can come to refer to them before the commit.
    """
    own = select(artefacts.c.id).where(artefacts.c.generation_id == generation_id)
    own = own.order_by(artefacts.c.id).with_for_update()
    ids = (connection.execute(own)).scalars().all()
    if not ids:
        return False
    waits = select(artefact_references.c.artefact_id).where(
        artefact_references.c.artefact_id.in_(ids), _is_under_way()
    )
    return (connection.execute(waits.limit(1))).first() is not None


def is_referred() -> ColumnElement[bool]:
    """Whether a generation or a batch refers to the row of ``uploads``."""
    of_this = upload_references.c.upload_id == uploads.c.id
    stands = _stands(upload_references.c.subject)
    return exists(select(1).select_from(upload_references).where(of_this, stands))


def stale_references() -> tuple[Delete, ...]:
    """Returns the statements that remove references of what is gone."""
    return tuple(delete(table).where(~_stands(table.c.subject)) for table in _TABLES)


def _stands(subject: ColumnElement[UUID]) -> ColumnElement[bool]:
    generation = select(1).where(generations.c.id == subject, generations.c.deleted_at.is_(None))
    return or_(exists(generation), exists(select(1).where(batches.c.id == subject)))


def _is_under_way() -> ColumnElement[bool]:
    subject = artefact_references.c.subject
    generation = select(1).where(
        generations.c.id == subject,
        generations.c.deleted_at.is_(None),
        generations.c.status.not_in(FINAL),
    )
    batch = select(1).where(batches.c.id == subject, batches.c.status.not_in(FINAL))
    return or_(exists(generation), exists(batch))
