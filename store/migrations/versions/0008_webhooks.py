"""Callbacks of generations and batches, their deliveries, and the secret that signs these."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_JSON = sa.JSON(none_as_null=True)
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WITH_CALLBACK = ("generations", "batches", "batch_items")

_OF_OUTBOX = {
    "ix_outbox_due_at": ["kind", "due_at"],
    "ix_outbox_put_off_at": ["kind", "put_off_at"],
}


def upgrade() -> None:
    for table in _WITH_CALLBACK:
        op.add_column(table, sa.Column("callback", _JSON, nullable=True))
    op.create_table(
        "callbacks",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(64), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("off_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callbacks")),
        sa.UniqueConstraint("name", name=op.f("uq_callbacks_name")),
    )
    unnamed = sa.text("name IS NULL")
    op.create_index(
        *("ix_callbacks_url", "callbacks", ["url"]),
        unique=True,
        sqlite_where=unnamed,
        postgresql_where=unnamed,
    )
    made = op.create_table(
        "webhook_secrets",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("secret", sa.String(100), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_secrets")),
    )
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    op.bulk_insert(made, [{"secret": secret, "created_at": datetime.now(UTC)}])
    op.create_table(
        "deliveries",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("generation_id", sa.Uuid(), nullable=True),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(64), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("host", sa.String(300), nullable=False),
        sa.Column("snapshot", _JSON, nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("by_hand", sa.Boolean(), nullable=False),
        sa.Column("tries", _JSON, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("id", name=op.f("uq_deliveries_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deliveries_generation_id", "deliveries", ["generation_id", "number"])
    op.create_index("ix_deliveries_batch_id", "deliveries", ["batch_id", "number"])
    op.create_index("ix_deliveries_state", "deliveries", ["state", "number"])
    op.create_index("ix_deliveries_ended_at", "deliveries", ["ended_at"])
    for name, columns in _OF_OUTBOX.items():
        op.create_index(name, "outbox", columns)


def downgrade() -> None:
    for name in _OF_OUTBOX:
        op.drop_index(name, "outbox")
    # An older version has no runner for them.
    op.execute(sa.text("DELETE FROM outbox WHERE kind = 'webhook'"))
    op.drop_table("deliveries")
    op.drop_table("webhook_secrets")
    op.drop_table("callbacks")
    # In place: a table that is made again is dropped first, and what refers to it would go.
    for table in _WITH_CALLBACK:
        op.drop_column(table, "callback")
