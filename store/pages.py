"""Pages of a list that is read in the order of one whole number, onwards and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select

from store.cursors import read_cursor, write_cursor
from store.errors import InvalidCursorError


@dataclass(frozen=True)
class Cut:
    """A page's rows in the list's order, and the cursors of the pages beside it.

    A cursor is None where the list ends.
    """

    rows: Sequence[RowMapping]
    previous_cursor: str | None
    next_cursor: str | None


class Page:
    """One page: what a cursor selects, and what of the result is on it.

    ``kind`` is the lower-case letter of cursors that lead on; that of cursors that lead back is
    its capital. ``column`` orders the list and is the last thing selected under ``name``.
    """

    def __init__(
        self,
        kind: str,
        column: ColumnElement[int],
        name: str,
        limit: int,
        cursor: str | None,
        *,
        descending: bool,
    ) -> None:
        """Raises InvalidCursorError."""
        self._kind = kind
        self._column = column
        self._name = name
        self._limit = limit
        self._descending = descending
        self._cursor = cursor
        self._back, self._place = _read(kind, cursor) if cursor is not None else (False, 0)

    def of(self, statement: Select[Any]) -> Select[Any]:
        """Returns the statement for this page's rows, and one more."""
        rising = self._back == self._descending
        if self._cursor is not None:
            after = self._column > self._place if rising else self._column < self._place
            statement = statement.where(after)
        order = self._column.asc() if rising else self._column.desc()
        return statement.order_by(order).limit(self._limit + 1)

    def cut(self, found: Sequence[RowMapping]) -> Cut:
        """Returns the page from the statement's rows."""
        more = len(found) > self._limit
        rows = list(found[: self._limit])
        if self._back:
            rows.reverse()
        if rows:
            first, last = rows[0][self._name], rows[-1][self._name]
        else:  # beside an empty page: from the place of its cursor, that row included
            first = last = self._place + (1 if self._descending == self._back else -1)
        before = more if self._back else self._cursor is not None
        after = self._back or more
        return Cut(
            rows,
            write_cursor(self._kind.upper(), max(0, first)) if before else None,
            write_cursor(self._kind, last) if after and last >= 0 else None,
        )


def _read(kind: str, cursor: str) -> tuple[bool, int]:
    """Returns whether a cursor leads back, and its place. Raises InvalidCursorError."""
    try:
        return False, read_cursor(kind, cursor)
    except InvalidCursorError:
        return True, read_cursor(kind.upper(), cursor)
