"""Outputs of every kind: the table of pictures becomes that of artefacts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

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
    _confirm_nothing_is_lost()
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
    op.execute(
        sa.text(
            "INSERT INTO images (id, generation_id, position, path, thumbnail_path, content_type, "
            "bytes, sha256, width, height, seed, created_at) "
            "SELECT id, generation_id, position, path, poster_path, content_type, bytes, sha256, "
            "width, height, COALESCE(seed, 0), created_at FROM artefacts"
        )
    )
    op.drop_table("artefacts")


def _confirm_nothing_is_lost() -> None:
    """An older version knows pictures with thumbnails only."""
    lost = sa.text(
        "SELECT count(*) FROM artefacts WHERE kind != 'image' OR poster_path IS NULL "
        "OR width IS NULL OR height IS NULL"
    )
    count = op.get_bind().execute(lost).scalar_one()
    if count:
        raise CommandError(
            f"nothing was changed: {count} artefacts are videos, sounds, models, texts or files, "
            "which an older version of Easel cannot have; delete their generations first, or "
            "restore a backup of the data folder from before the update"
        )


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
