"""What an operator holds back in Prefect, as it was last known of each work pool."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gates",
        sa.Column("pool", sa.String(255), nullable=False),
        sa.Column("value", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("pool", name=op.f("pk_gates")),
    )


def downgrade() -> None:
    op.drop_table("gates")
