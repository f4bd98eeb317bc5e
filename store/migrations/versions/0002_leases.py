"""Leases, stray prompts, and what an attempt must remember to be taken over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("length_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "strays",
        sa.Column("prompt_id", sa.String(length=36), nullable=False),
        sa.Column("comfy_url", sa.String(length=500), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("prompt_id", "comfy_url", name=op.f("pk_strays")),
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deployment_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("holder", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("comfy_url", sa.String(length=500), nullable=True))
    with op.batch_alter_table("generations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("generations", schema=None) as batch_op:
        batch_op.drop_column("expired_at")
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        for name in ("comfy_url", "holder", "deployment_id"):
            batch_op.drop_column(name)
    op.drop_table("strays")
    op.drop_table("leases")
