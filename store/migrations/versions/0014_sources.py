"""What each ComfyUI offers as workflows, and which of them are to be fetched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "offered_sources",
        sa.Column("comfy_url", sa.String(500), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("comfy_url", name=op.f("pk_offered_sources")),
    )
    op.create_table(
        "source_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("comfy_url", sa.String(500), nullable=False),
        sa.Column("source", sa.String(500), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.Column("name", sa.String(500), nullable=True),
        sa.Column("title", sa.String(500), nullable=True),
        sa.Column("problem", sa.String(1000), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_requests")),
    )


def downgrade() -> None:
    op.drop_table("source_requests")
    op.drop_table("offered_sources")
