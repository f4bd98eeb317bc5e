"""The outbox of kinds; pending dispatches are moved there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_IS_CLAIMED = sa.text("claimed_by IS NOT NULL")

_dispatches = sa.table(
    "dispatches",
    sa.column("id", sa.Integer()),
    sa.column("generation_id", sa.Uuid()),
    sa.column("attempt", sa.Integer()),
    sa.column("action", sa.String()),
    sa.column("priority", sa.String()),
    sa.column("created_at", _MOMENT),
    sa.column("due_at", _MOMENT),
    sa.column("tries", sa.Integer()),
    sa.column("error", sa.Text()),
)
_outbox = sa.table(
    "outbox",
    sa.column("id", sa.Integer()),
    sa.column("lane", sa.String()),
    sa.column("kind", sa.String()),
    sa.column("subject", sa.Uuid()),
    sa.column("payload", sa.JSON()),
    sa.column("rank", sa.Integer()),
    sa.column("created_at", _MOMENT),
    sa.column("tries", sa.Integer()),
    sa.column("error", sa.Text()),
)


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("lane", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("payload", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=True),
        sa.Column("put_off_at", _MOMENT, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("claimed_by", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_subject", "outbox", ["subject"])
    op.create_index("ix_outbox_lane", "outbox", ["lane", "rank", "id"])
    op.create_index(
        "ix_outbox_claimed",
        "outbox",
        ["lane", "subject"],
        unique=True,
        sqlite_where=_IS_CLAIMED,
        postgresql_where=_IS_CLAIMED,
    )
    _move_to_outbox()
    op.drop_table("dispatches")


def downgrade() -> None:
    op.create_table(
        "dispatches",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("generation_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.String(length=16), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatches")),
    )
    op.create_index("ix_dispatches_due_at", "dispatches", ["due_at"])
    op.create_index("ix_dispatches_generation_id", "dispatches", ["generation_id"])
    _move_back()
    op.drop_table("outbox")


def _move_to_outbox() -> None:
    """In the same order; entries postponed (by a minute at most) are due at once."""
    connection = op.get_bind()
    rows = connection.execute(sa.select(_dispatches).order_by(_dispatches.c.id)).mappings().all()
    entries = [
        {
            "lane": "prefect",
            "kind": f"prefect.{row['action']}",
            "subject": row["generation_id"],
            "payload": {"attempt": row["attempt"]},
            "rank": _rank(row["action"], row["priority"]),
            "created_at": row["created_at"],
            "tries": row["tries"],
            "error": row["error"],
        }
        for row in rows
    ]
    if entries:
        connection.execute(sa.insert(_outbox), entries)


def _rank(action: str, priority: str) -> int:
    if action == "cancel":
        return 0
    return 1 if priority == "interactive" else 2


def _move_back() -> None:
    """Only the entries for Prefect: the previous version has no others."""
    connection = op.get_bind()
    statement = sa.select(_outbox).where(_outbox.c.lane == "prefect").order_by(_outbox.c.id)
    rows = connection.execute(statement).mappings().all()
    dispatches = [
        {
            "generation_id": row["subject"],
            "attempt": row["payload"]["attempt"],
            "action": row["kind"].removeprefix("prefect."),
            "priority": "bulk" if row["rank"] == 2 else "interactive",
            "created_at": row["created_at"],
            "due_at": row["created_at"],
            "tries": row["tries"],
            "error": row["error"],
        }
        for row in rows
    ]
    if dispatches:
        connection.execute(sa.insert(_dispatches), dispatches)
