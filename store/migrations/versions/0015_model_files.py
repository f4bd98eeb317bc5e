"""What is known of each ComfyUI's model files, and what their owner says of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_files",
        sa.Column("comfy_url", sa.String(500), nullable=False),
        sa.Column("folder", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("modified", sa.Float(), nullable=True),
        sa.Column("read_by", sa.String(100), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("comfy_url", "folder", "name", name=op.f("pk_model_files")),
    )
    op.create_table(
        "model_settings",
        sa.Column("folder", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("family", sa.String(64), nullable=True),
        sa.Column("text_encoders", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("vae", sa.String(255), nullable=True),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("folder", "name", name=op.f("pk_model_settings")),
    )
    op.create_table(
        "model_digests",
        sa.Column("subject", sa.String(500), nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_model_digests")),
    )


def downgrade() -> None:
    op.drop_table("model_digests")
    op.drop_table("model_settings")
    op.drop_table("model_files")
