"""The axes of a batch's grid, each item's combination of them; the queue's index has the work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("grid", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("batch_items", sa.Column("combination", sa.Integer(), nullable=True))
    op.drop_index("ix_generations_queue", table_name="generations")
    op.create_index(
        "ix_generations_queue", "generations", ["status", "priority", "seq", "cost"], unique=False
    )


def downgrade() -> None:
    # In place: a table that is made again is dropped first, and with a batch its items would go.
    op.drop_column("batch_items", "combination")
    op.drop_column("batches", "grid")
    op.drop_index("ix_generations_queue", table_name="generations")
    op.create_index(
        "ix_generations_queue", "generations", ["status", "priority", "seq"], unique=False
    )
