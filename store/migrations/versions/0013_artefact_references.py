"""Which requests name which artefacts as their inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_REFERENCE = re.compile(
    r"artefact:([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.ASCII
)
_ENDED = ("succeeded", "failed", "cancelled")
_PAGE = 1000

_references = sa.table(
    "artefact_references", sa.column("artefact_id", sa.Uuid), sa.column("subject", sa.Uuid)
)
_generations = sa.table(
    "generations",
    sa.column("id", sa.Uuid),
    sa.column("status", sa.String),
    sa.column("request", sa.JSON),
    sa.column("deleted_at", sa.DateTime(timezone=True)),
)
_batches = sa.table("batches", sa.column("id", sa.Uuid), sa.column("status", sa.String))
_items = sa.table(
    "batch_items",
    sa.column("batch_id", sa.Uuid),
    sa.column("request", sa.JSON),
)


def upgrade() -> None:
    op.create_table(
        "artefact_references",
        sa.Column("artefact_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("artefact_id", "subject", name=op.f("pk_artefact_references")),
    )
    _refer_from_what_is_under_way()


def _refer_from_what_is_under_way() -> None:
    """What was accepted before takes its files as well."""
    connection = op.get_bind()
    found = {
        (UUID(artefact_id), subject)
        for statement in (_unended_generations(), _unreleased_items())
        for rows in connection.execute(statement).partitions(_PAGE)
        for subject, request in rows
        for artefact_id in _named_in(request)
    }
    if found:
        op.bulk_insert(
            _references, [{"artefact_id": one, "subject": subject} for one, subject in found]
        )


def _unended_generations() -> sa.Select[Any]:
    columns = _generations.c
    return sa.select(columns.id, columns.request).where(
        columns.status.not_in(_ENDED), columns.deleted_at.is_(None), _names_one(columns.request)
    )


def _unreleased_items() -> sa.Select[Any]:
    return (
        sa.select(_items.c.batch_id, _items.c.request)
        .join(_batches, _batches.c.id == _items.c.batch_id)
        .where(_batches.c.status.not_in(_ENDED), _names_one(_items.c.request))
    )


def _names_one(request: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.cast(request, sa.Text).contains("artefact:")


def _named_in(request: Any) -> Iterator[str]:
    """Yields the id of every artefact that is a value of a stored request."""
    waiting = [request]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, str) and (found := _REFERENCE.fullmatch(one)):
            yield found[1]


def downgrade() -> None:
    op.drop_table("artefact_references")
