"""What each generation needs, what each ComfyUI offers, and how each worker works."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_BEFORE = ["status", "priority", "turn", "cost"]
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_table(
        "needs",
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("value", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_needs")),
    )
    op.create_table(
        "offers",
        sa.Column("comfy_url", sa.String(500), nullable=False),
        sa.Column("files", _JSON, nullable=True),
        sa.Column("nodes", _JSON, nullable=True),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("comfy_url", name=op.f("pk_offers")),
    )
    op.drop_index("ix_generations_queue", table_name="generations")
    op.add_column("generations", sa.Column("needs", sa.String(32), nullable=True))
    op.create_index("ix_generations_queue", "generations", [*_BEFORE, "needs"], unique=False)
    op.add_column("workers", sa.Column("slots", sa.Integer(), nullable=True))
    op.add_column("workers", sa.Column("last_model", sa.String(255), nullable=True))
    op.add_column("workers", sa.Column("seconds_per_cost", sa.Float(), nullable=True))
    op.add_column("workers", sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for column in ("stopped_at", "seconds_per_cost", "last_model", "slots"):
        op.drop_column("workers", column)
    op.drop_index("ix_generations_queue", table_name="generations")
    op.drop_column("generations", "needs")
    op.create_index("ix_generations_queue", "generations", _BEFORE, unique=False)
    op.drop_table("offers")
    op.drop_table("needs")
