"""Rows of a batch out of a file: CSV as spreadsheets write it, or JSON Lines.

Streamed: a file of any length takes the memory of its longest row. A row's problems are yielded
in its place among the rows, so one pass finds every mistake.
"""

from __future__ import annotations

import csv
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, repeat
from pathlib import Path
from typing import IO, Any, Final, Literal, Self

from core import json as strict_json
from core.batches.columns import CellError, Columns, Read, nested
from core.problems import FieldProblem
from core.text import readable
from core.wording import nearest

Kind = Literal["csv", "jsonl"]
ROW_MAX: Final = 1_000_000
"""The longest row: characters in CSV, bytes in JSON Lines."""
LINES_MAX: Final = 1_000_000
"""The most lines: fifty for each generation that a batch may have. A file of empty lines would
be read for half a minute."""
BATCH_NAME_MAX: Final = 200
COLUMN_SHOWN: Final = 100
"""How many characters of a column's name are echoed."""
ROW_PROBLEMS_MAX: Final = 100
"""The most problems of one row: a row may have half a million cells."""

_KINDS: Final[dict[str, Kind]] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/jsonl": "jsonl",
    "application/x-jsonl": "jsonl",
    "application/jsonlines": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/ndjson": "jsonl",
    "application/x-ndjson": "jsonl",
}
_NOT_UTF8: Final = re.compile("[\udc80-\udcff]")
"""What ``surrogateescape`` makes of invalid bytes; valid UTF-8 never decodes to these."""
_SAVE_AS_UTF8: Final = "the file must be saved as UTF-8"
_TOO_MANY_LINES: Final = f"a file may have {LINES_MAX} lines at most"
_CTRL_Z: Final = "\x1a"
"""What DOS programs end a file with."""
HEADER_PROBLEMS: Final = frozenset(
    {"missing_header", "duplicate_column", "unknown_column", "not_separated_by_commas"}
)
"""Codes of what is wrong with the first line of CSV, and so with every row."""
_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


@dataclass(frozen=True)
class Row:
    """Fields of a request, and optionally ``count``, not yet validated.

    ``number`` is where the row begins: the file's line from 1 (the CSV header counts), or the
    position from 1 among the items of a request.
    """

    number: int
    fields: dict[str, Any]


class _NamelessCellError(CellError):
    """A cell has no column."""


class _UnreadableError(ValueError):
    """Nothing after this place in the file can be trusted."""

    def __init__(self, code: str, message: str, row: int = 0) -> None:
        self.code = code
        self.row = row
        super().__init__(message)

    def at(self, row: int) -> Self:
        return type(self)(self.code, str(self), row)

    @property
    def problem(self) -> FieldProblem:
        return FieldProblem.of_row(self.row, None, self.code, str(self))


def guess_kind(name: str) -> Kind | None:
    """Returns the kind that a file's name or a content type indicates, None if neither does."""
    name = name.strip().lower()
    return _KINDS.get(Path(name).suffix) or _KINDS.get(name.partition(";")[0].rstrip())


def name_of_file(name: str) -> str | None:
    """Returns the name of a batch that is made from a file; None if the file's name gives none."""
    stem = Path(name).stem.encode(errors="replace").decode().replace("\x00", "").strip()
    return stem[:BATCH_NAME_MAX] or None


def shown_name(name: str | None) -> str | None:
    """Returns a batch's name as lists, logs and Prefect show it; None if nothing is left of it.

    On one line, and without characters that steer a terminal or turn the text after them.
    """
    return " ".join(readable(name or "").split()) or None


def read_manifest(path: Path, kind: Kind, known: Columns) -> Iterator[Row | FieldProblem]:
    """Yields the rows in the file's order, and its problems. Raises OSError.

    ``known`` are the columns that there are. CSV is UTF-8 with a header of them; empty cells
    and empty lines are skipped. JSON Lines has one object per line, with the same fields. Either
    may begin with a byte order mark.
    """
    empty = True
    for row in _read_csv(path, known) if kind == "csv" else _read_jsonl(path):
        empty = False
        yield row
    if empty:
        yield FieldProblem.of_row(1, None, "no_rows", "the file has no rows")


def shown(column: str) -> str:
    """Returns a column's name as problems echo it: short, and always encodable as UTF-8."""
    return column[:COLUMN_SHOWN].encode("utf-8", "replace").decode("utf-8")


# --- CSV ---


class _Lines:
    """A file's lines for ``csv.reader``. Raises _UnreadableError.

    ``room`` is how many characters the current row has left.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._left = LINES_MAX
        self.room = ROW_MAX

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self.room + 1)
        if not line:
            raise StopIteration
        self.room -= len(line)
        self._left -= 1
        if self.room < 0:
            raise _UnreadableError("row_too_long", f"rows may have {ROW_MAX} characters at most")
        if self._left < 0:
            raise _UnreadableError("too_many_lines", _TOO_MANY_LINES)
        if not line.isascii() and _NOT_UTF8.search(line):
            raise _UnreadableError("not_utf8", _SAVE_AS_UTF8)
        if line.endswith(_CTRL_Z):  # without a line break it is the last line
            line = line.rstrip(_CTRL_Z)
            if not line:
                raise StopIteration
        return line


@dataclass(frozen=True)
class _Column:
    """``read`` turns a cell into a JSON value; None for a column that is ignored."""

    name: str
    read: Read | None


def _read_csv(path: Path, known: Columns) -> Iterator[Row | FieldProblem]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        records = _records(file)
        try:
            line, header = next(records, (1, []))
            columns, problems = _columns(line, header, known)
            yield from problems
            if columns:
                for number, cells in records:
                    yield from _row(number, cells, columns, known)
        except _UnreadableError as error:
            yield error.problem


def _records(file: IO[str]) -> Iterator[tuple[int, list[str]]]:
    """Yields each non-empty row with the line where it begins. Raises _UnreadableError."""
    lines = _Lines(file)
    # Strict: otherwise a quote that is never closed silently swallows the rest of the file.
    reader = csv.reader(lines, strict=True)
    while True:
        number = reader.line_num + 1
        lines.room = ROW_MAX
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            message = f"not well-formed, look at the quotes: {error}"
            raise _UnreadableError("malformed_csv", message, number) from error
        except _UnreadableError as error:
            raise error.at(number) from error
        # Joined: a row may have a million cells.
        if "".join(cells).replace(_CTRL_Z, "").strip():
            yield number, cells


def _columns(
    line: int, header: Sequence[str], known: Columns
) -> tuple[list[_Column], list[FieldProblem]]:
    columns: list[_Column] = []
    problems: list[FieldProblem] = []
    taken: set[str] = set()
    for name in (cell.strip() for cell in header):
        if len(problems) == ROW_PROBLEMS_MAX:
            break
        if not name:  # spreadsheets write columns that are empty all the way down
            columns.append(_NAMELESS)
            continue
        read = known.reader(name)
        if name in taken:
            problems.append(
                FieldProblem.of_row(line, shown(name), "duplicate_column", "it is there twice")
            )
            read = None
        elif read is None:
            problems.append(_unknown_column(line, name, known))
        taken.add(name)
        columns.append(_Column(name, read))
    if not any(column.name and column.read for column in columns):
        return [], [_no_header(line, header, known)]
    return columns, problems[:ROW_PROBLEMS_MAX]


def _no_header(line: int, header: Sequence[str], known: Columns) -> FieldProblem:
    """Returns what a first line is that names no column."""
    for separator, what in _SEPARATORS.items():
        names = [name.strip() for cell in header for name in cell.split(separator)]
        if len(names) > len(header) and any(map(known.reader, names)):
            message = f"this looks like a file separated by {what}; save it with commas"
            return FieldProblem.of_row(line, None, "not_separated_by_commas", message)
    for name in (cell.strip()[:COLUMN_SHOWN] for cell in header[:ROW_PROBLEMS_MAX]):
        if get_close_matches(name, known.names, n=1, cutoff=0.6):
            return _unknown_column(line, name, known)
    message = "the first line must name the columns, e.g. prompt, steps, seed, count"
    return FieldProblem.of_row(line, None, "missing_header", message)


def _unknown_column(line: int, name: str, known: Columns) -> FieldProblem:
    message = f"there is no such column; {nearest(name, known.names, what='columns')}"
    return FieldProblem.of_row(line, shown(name), "unknown_column", message)


def _row(
    number: int, cells: Sequence[str], columns: Sequence[_Column], known: Columns
) -> list[Row | FieldProblem]:
    """Returns the row, or everything that is wrong with it."""
    values: dict[str, Any] = {}
    problems: list[Row | FieldProblem] = []
    placed = chain(columns, repeat(_NAMELESS))
    for cell, column in zip(cells, placed, strict=False):
        if column.read is None or not cell.strip():
            continue
        try:
            values[column.name] = column.read(cell)
        except _NamelessCellError as error:
            # Behind a comma that divides a prompt every cell is in another column's place.
            return [FieldProblem.of_row(number, None, error.code, str(error))]
        except CellError as error:
            problems.append(
                FieldProblem.of_row(number, shown(column.name) or None, error.code, str(error))
            )
            if len(problems) == ROW_PROBLEMS_MAX:
                break
    if problems:
        return problems
    try:
        return [Row(number, nested(values, known))]
    except CellError as error:
        return [FieldProblem.of_row(number, None, error.code, str(error))]


def _nameless(_cell: str) -> Any:
    raise _NamelessCellError(
        "too_many_cells",
        "the row has more cells than the header; a prompt with a comma must be in double quotes",
    )


_NAMELESS: Final = _Column("", _nameless)
# --- JSON Lines ---


def _read_jsonl(path: Path) -> Iterator[Row | FieldProblem]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(ROW_MAX + 1):
            number += 1
            if number > LINES_MAX:
                yield FieldProblem.of_row(number, None, "too_many_lines", _TOO_MANY_LINES)
                return
            if len(line) > ROW_MAX:
                message = f"lines may have {ROW_MAX} bytes at most"
                yield FieldProblem.of_row(number, None, "row_too_long", message)
                return
            if number == 1:
                line = line.removeprefix(BOM_UTF8)
            if not _is_utf8(line):
                yield FieldProblem.of_row(number, None, "not_utf8", _SAVE_AS_UTF8)
                return
            if text := line.strip().strip(_CTRL_Z.encode()).strip():
                yield _json_row(number, text)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\x00" not in line[:4]  # UTF-16


def _json_row(number: int, line: bytes) -> Row | FieldProblem:
    try:
        value = strict_json.parse(line, "the line")
    except strict_json.MalformedJsonError as error:
        place = "" if error.column is None else f" at column {error.column}"
        return FieldProblem.of_row(number, None, "malformed_json", f"{error.reason}{place}")
    except strict_json.UnusableJsonError as error:
        return FieldProblem.of_row(number, None, error.code, str(error))
    if not isinstance(value, dict):
        return FieldProblem.of_row(number, None, "dict_type", "each line must be a JSON object")
    return Row(number, value)
