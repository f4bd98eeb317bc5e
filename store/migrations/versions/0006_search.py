"""The full-text index of the history, filled with what is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from store.search.index import as_terms, indexed_text, insertion

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_generations: Final = sa.table(
    "generations",
    sa.column("seq", sa.BigInteger()),
    sa.column("request", sa.JSON()),
    sa.column("batch_id", sa.Uuid()),
    sa.column("deleted_at", sa.DateTime(timezone=True)),
)
_batches: Final = sa.table("batches", sa.column("id", sa.Uuid()), sa.column("name", sa.String()))
_PAGE: Final = 1000


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        # ``ascii`` splits at ASCII blanks and marks only: words arrive split and folded.
        op.execute("CREATE VIRTUAL TABLE search USING fts5(terms, tokenize='ascii', prefix='1 2 3 4')")
    else:
        op.execute("CREATE TABLE search (rowid BIGINT PRIMARY KEY, terms TSVECTOR NOT NULL)")
        op.execute("CREATE INDEX ix_search_terms ON search USING gin (terms)")
    for rows in _pages():
        entries = [
            {"seq": row.seq, "terms": as_terms(_words(row), is_sqlite=is_sqlite)} for row in rows
        ]
        op.get_bind().execute(insertion(is_sqlite=is_sqlite), entries)


def _pages() -> Iterator[list[Any]]:
    last = 0
    while True:
        statement = (
            sa.select(_generations.c.seq, _generations.c.request, _batches.c.name)
            .outerjoin_from(_generations, _batches, _batches.c.id == _generations.c.batch_id)
            .where(_generations.c.seq > last, _generations.c.deleted_at.is_(None))
            .order_by(_generations.c.seq)
            .limit(_PAGE)
        )
        rows = list(op.get_bind().execute(statement))
        if not rows:
            return
        yield rows
        last = rows[-1].seq


def _words(row: Any) -> list[str]:
    stored = row.request if isinstance(row.request, dict) else {}
    fields = (stored.get(name) for name in ("prompt", "negative_prompt", "model", "seed"))
    return indexed_text([*("" if field is None else str(field) for field in fields), row.name])


def downgrade() -> None:
    op.drop_table("search")
