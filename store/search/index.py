"""The database's own full-text index: FTS5 on SQLite, a GIN index over a tsvector on PostgreSQL."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    column,
    delete,
    false,
    insert,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR

from store.search.query import Term, for_postgresql, for_sqlite, read_query
from store.search.words import words_of

SEARCH: Final = table("search", column("rowid", BigInteger), column("terms", Text))
"""One row for each generation that was not deleted; ``rowid`` is its ``seq``. Made by a migration:
on SQLite a virtual table, whose rows FTS5 finds newest first without sorting."""
_BETWEEN: Final = "\ue000"
"""A word that is in no text: words of two fields do not follow each other."""


def indexed_text(fields: Iterable[str | None]) -> list[str]:
    """Returns the words of a generation's fields, with a word between the fields."""
    words: list[str] = []
    for field in fields:
        if field:
            words += [*words_of(field), _BETWEEN]
    return words


def as_terms(words: Sequence[str], *, is_sqlite: bool) -> str:
    """Returns the words as the index's column is given them."""
    if is_sqlite:
        return " ".join(words)
    return " ".join(f"'{word}':{place}" for place, word in enumerate(words, start=1))


@functools.cache
def insertion(*, is_sqlite: bool) -> Insert:
    """Returns the INSERT of rows with ``seq`` and ``terms``."""
    terms: Any = bindparam("terms", type_=Text)
    return insert(SEARCH).values(
        rowid=bindparam("seq", type_=BigInteger),
        terms=terms if is_sqlite else cast(terms, TSVECTOR),
    )


def index(connection: Connection, entries: Iterable[tuple[int, list[str]]]) -> None:
    """Add generations: their ``seq`` and words."""
    is_sqlite = connection.dialect.name == "sqlite"
    rows = [{"seq": seq, "terms": as_terms(words, is_sqlite=is_sqlite)} for seq, words in entries]
    connection.execute(insertion(is_sqlite=is_sqlite), rows)


def unindex(connection: Connection, seq: int) -> None:
    """Remove a deleted generation's words."""
    connection.execute(delete(SEARCH).where(SEARCH.c.rowid == seq))


def found_by(text: str, seq: ColumnElement[int], *, is_sqlite: bool) -> ColumnElement[bool]:
    """Returns the condition on ``seq`` that a search means. One without a word finds nothing."""
    terms = read_query(text)
    wanted = [term for term in terms if not term.excluded]
    unwanted = [term for term in terms if term.excluded]
    conditions = []
    if wanted:
        conditions.append(seq.in_(_matching(wanted, "all", is_sqlite=is_sqlite)))
    if unwanted:
        conditions.append(seq.not_in(_matching(unwanted, "any", is_sqlite=is_sqlite)))
    return and_(*conditions) if conditions else false()


def _matching(
    terms: Sequence[Term], how: Literal["all", "any"], *, is_sqlite: bool
) -> Select[tuple[int]]:
    rows = select(SEARCH.c.rowid)
    if is_sqlite:
        query = {"all": " AND ", "any": " OR "}[how].join(map(for_sqlite, terms))
        return rows.where(SEARCH.c.terms.op("MATCH", is_comparison=True)(query))
    query = {"all": " & ", "any": " | "}[how].join(f"({for_postgresql(term)})" for term in terms)
    return rows.where(SEARCH.c.terms.op("@@", is_comparison=True)(cast(query, TSQUERY)))
