"""The order in which generations are taken, and what Prefect is told once they have ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_PENDING = sa.text("stages IS NOT NULL AND told_at IS NULL")
_HELD = sa.text("holder IS NOT NULL AND outcome IS NULL")


def upgrade() -> None:
    op.drop_index("ix_generations_queue", table_name="generations")
    # A column that SQLite can add to a table as it is: to copy the table would delete the attempts,
    # which refer to it. Its default stays there, and every row says its turn.
    op.add_column(
        "generations", sa.Column("turn", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.execute("UPDATE generations SET turn = seq")
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("generations", "turn", server_default=None)
    op.create_index(
        "ix_generations_queue", "generations", ["status", "priority", "turn", "cost"], unique=False
    )
    op.add_column("attempts", sa.Column("stages", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("attempts", sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_attempts_untold",
        "attempts",
        ["ended_at"],
        unique=False,
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index(
        "ix_attempts_held",
        "attempts",
        ["holder"],
        unique=False,
        sqlite_where=_HELD,
        postgresql_where=_HELD,
    )


def downgrade() -> None:
    op.drop_index("ix_attempts_held", table_name="attempts")
    op.drop_index("ix_attempts_untold", table_name="attempts")
    op.drop_column("attempts", "told_at")
    op.drop_column("attempts", "stages")
    op.drop_index("ix_generations_queue", table_name="generations")
    op.drop_column("generations", "turn")
    op.create_index(
        "ix_generations_queue", "generations", ["status", "priority", "seq", "cost"], unique=False
    )
