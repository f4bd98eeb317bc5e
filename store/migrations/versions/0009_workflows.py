"""Workflows that users bring, and which workflow a generation is of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.add_column("generations", sa.Column("workflow", sa.String(64), nullable=True))
    # All earlier versions had one workflow.
    op.execute("UPDATE generations SET workflow = 'txt2img' WHERE deleted_at IS NULL")
    op.create_index("ix_generations_workflow", "generations", ["workflow", "seq"])
    op.create_table(
        "workflows",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("hidden_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workflows")),
    )
    op.create_table(
        "workflow_versions",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("document", _JSON, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_workflow_versions")),
    )


def downgrade() -> None:
    op.drop_table("workflow_versions")
    op.drop_table("workflows")
    op.drop_index("ix_generations_workflow", "generations")
    # In place: a table that is made again is dropped first, and what refers to it would go.
    op.drop_column("generations", "workflow")
