"""Outputs of every kind: the table of pictures becomes that of artefacts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_STEM = 41
"""Where in a path the file's own name begins: after "ab/" and the generation's id."""


def upgrade() -> None:
    op.create_table(
        "artefacts",
        *_common(),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("node", sa.String(255), nullable=True),
        sa.Column("primary", sa.Boolean(), nullable=False),
        sa.Column("poster_path", sa.String(255), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("duration_s", sa.Float(), nullable=True),
        sa.Column("fps", sa.Float(), nullable=True),
        sa.Column("frames", sa.Integer(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        *_keys("artefacts"),
    )
    op.create_index("ix_artefacts_generation_id", "artefacts", ["generation_id", "kind"])
    op.execute(
        sa.text(
            "INSERT INTO artefacts (id, generation_id, position, path, poster_path, content_type, "
            'bytes, sha256, width, height, seed, created_at, kind, name, "primary") '
            "SELECT id, generation_id, position, path, thumbnail_path, content_type, bytes, "
            "sha256, width, height, seed, created_at, 'image', "
            f"substr(path, {_STEM}), position = 0 FROM images"
        )
    )
    op.drop_table("images")


def downgrade() -> None:
    op.create_table(
        "images",
        *_common(),
        sa.Column("thumbnail_path", sa.String(255), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        *_keys("images"),
    )
    op.create_index("ix_images_generation_id", "images", ["generation_id"])
    # An older version knows pictures only.
    op.execute(
        sa.text(
            "INSERT INTO images (id, generation_id, position, path, thumbnail_path, content_type, "
            "bytes, sha256, width, height, seed, created_at) "
            "SELECT id, generation_id, position, path, poster_path, content_type, bytes, sha256, "
            "width, height, COALESCE(seed, 0), created_at FROM artefacts "
            "WHERE kind = 'image' AND poster_path IS NOT NULL AND width IS NOT NULL "
            "AND height IS NOT NULL"
        )
    )
    op.drop_table("artefacts")


def _common() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("generation_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("content_type", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
    )


def _keys(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f(f"fk_{table}_generation_id_generations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    )
