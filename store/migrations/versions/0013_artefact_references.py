"""Which requests name which artefacts as their inputs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "artefact_references",
        sa.Column("artefact_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("artefact_id", "subject", name=op.f("pk_artefact_references")),
    )


def downgrade() -> None:
    op.drop_table("artefact_references")
