"""Local files that a file of rows names for the inputs of its workflow.

Each is sent to Easel once. What goes to the API is a copy of the file of rows that refers to them:
it is the same whenever the command is repeated, as long as the named files are the same.
"""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

from pydantic import ValidationError

from cli.bulk.create import NotCreatedError, not_created
from cli.bulk.order import BatchOrder
from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError
from cli.console import BAD_USAGE, CommandError
from cli.uploads import Uploads
from core import json as strict_json
from core.batches.columns import CellError, Columns
from core.batches.manifest import ROW_MAX, ROW_PROBLEMS_MAX, shown
from core.problems import FieldProblem
from core.workflows.declaration import Input, Workflow

_INPUTS: Final = "inputs"


async def with_uploads(client: ApiClient, order: BatchOrder, folder: Path) -> BatchOrder:
    """Send the local files that the rows name. Returns the order with a copy of its file.

    The copy is in ``folder``, and has the same rows in the same places. The order itself is
    returned when its workflow takes no files, or the file is not one that can be read: then the
    API says what is wrong with it. Raises NotCreatedError, OSError.
    """
    try:
        columns = await _columns(client, order)
        if columns is None or not any(_takes_files(one) for one in columns.workflow.inputs):
            return order
        copy = folder / order.file.name
        made = _Copy(columns, Uploads(client), order.file.parent)
        if not await made.write(order, copy):
            return order
    except ApiUnreachableError as error:
        raise not_created(error, client.url) from error
    if made.problems and not order.skip_bad:
        raise NotCreatedError("Nothing was created.", BAD_USAGE, made.problems)
    return replace(order, file=copy)


async def _columns(client: ApiClient, order: BatchOrder) -> Columns | None:
    """Returns what the workflow takes; None for one that the API does not have."""
    named = order.options.get("workflow") or _named_in(order)
    if not isinstance(named, str):
        return None
    try:
        document = await client.workflow(named)
        fields = {key: document[key] for key in ("name", "title", "inputs")}
        return Columns(Workflow.model_validate(fields))
    except (ApiRefusedError, KeyError, ValidationError):
        return None


def _named_in(order: BatchOrder) -> Any:
    request = _request(order) if order.kind == "json" else None
    if request is None:
        return None
    defaults = request.get("defaults")
    return request.get("workflow") or (
        defaults.get("workflow") if isinstance(defaults, dict) else None
    )


def _request(order: BatchOrder) -> dict[str, Any] | None:
    return _object(order.file.read_bytes(), "the file")


def _object(data: bytes, what: str) -> dict[str, Any] | None:
    """Returns the JSON object, None for anything else."""
    try:
        value = strict_json.parse(data.removeprefix(b"\xef\xbb\xbf"), what)
    except (strict_json.MalformedJsonError, strict_json.UnusableJsonError):
        return None
    return value if isinstance(value, dict) else None


def _takes_files(one: Input) -> bool:
    inner = (*(one.fields or ()), *((one.items,) if one.items is not None else ()))
    return one.is_upload or any(map(_takes_files, inner))


class _Copy:
    """A copy of a file of rows in the making. ``problems`` are of files that are not taken."""

    def __init__(self, columns: Columns, uploads: Uploads, folder: Path) -> None:
        self._columns = columns
        self._uploads = uploads
        self._folder = folder
        self.problems: list[FieldProblem] = []

    async def write(self, order: BatchOrder, copy: Path) -> bool:
        """Returns whether it could be made."""
        match order.kind:
            case "csv":
                return await self._csv(order.file, copy)
            case "jsonl":
                return await self._jsonl(order.file, copy)
            case "json":
                return await self._json(order, copy)

    async def _csv(self, file: Path, copy: Path) -> bool:
        with _text(file) as source, copy.open("w", **_AS_IT_IS) as target:
            records = _records(source)
            lines, header = 1, list[str]()
            try:
                for number, cells in records:
                    # Rows are known by their lines: what is wrong with one names its line.
                    target.write("\r\n" * (number - lines))
                    named = [
                        await self._cell(number, column, cell)
                        for column, cell in _with_columns(header, cells)
                    ]
                    header = header or [name.strip() for name in cells]
                    csv.writer(target).writerow(named)
                    lines = number + 1 + sum(map(_breaks, cells))
            except (csv.Error, _TooLongError):
                return False
        return True

    async def _cell(self, row: int, column: str, cell: str) -> str:
        one = self._columns.input(column) if column and cell.strip() else None
        read = self._columns.reader(column) if one is not None and _takes_files(one) else None
        if one is None or read is None:
            return cell
        try:
            value = read(cell)
        except CellError:
            return cell
        named = await self._value(row, column, one, value)
        if named == value:
            return cell
        return named if isinstance(named, str) else json.dumps(named, ensure_ascii=False)

    async def _jsonl(self, file: Path, copy: Path) -> bool:
        with file.open("rb") as source, copy.open("wb") as target:
            number = 0
            while line := source.readline(ROW_MAX + 1):
                number += 1
                if len(line) > ROW_MAX:
                    return False
                row = _object(line, "the line")
                named = None if row is None else await self._fields(number, row)
                target.write(line if named == row else _json_line(named))
        return True

    async def _json(self, order: BatchOrder, copy: Path) -> bool:
        request = _request(order)
        if request is None:
            return False
        named = dict(request)
        if isinstance(defaults := request.get("defaults"), dict):
            named["defaults"] = await self._fields(0, defaults)
        if isinstance(items := request.get("items"), list):
            named["items"] = [
                await self._fields(number, item) if isinstance(item, dict) else item
                for number, item in enumerate(items, 1)
            ]
        if isinstance(grid := request.get("grid"), dict):
            named["grid"] = {
                name: [await self._named_value(0, name, value) for value in values]
                if isinstance(values, list)
                else values
                for name, values in grid.items()
            }
        await asyncio.to_thread(copy.write_bytes, _json_line(named))
        return True

    async def _fields(self, row: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        named = {name: await self._named_value(row, name, value) for name, value in fields.items()}
        inner = fields.get(_INPUTS)
        if isinstance(inner, dict):
            named[_INPUTS] = await self._fields(row, inner)
        return named

    async def _named_value(self, row: int, name: str, value: Any) -> Any:
        one = self._columns.input(name)
        return value if one is None else await self._value(row, name, one, value)

    async def _value(self, row: int, place: str, one: Input, value: Any) -> Any:
        """Returns an input's value with references in place of the files that it names."""
        if one.items is not None and isinstance(value, list):
            return [
                await self._value(row, f"{place}.{number}", one.items, each)
                for number, each in enumerate(value)
            ]
        if one.fields is not None and isinstance(value, dict):
            known = {each.name: each for each in one.fields}
            return {
                name: await self._value(row, f"{place}.{name}", known[name], each)
                if name in known
                else each
                for name, each in value.items()
            }
        if not one.is_upload or not isinstance(value, str):
            return value
        return await self._reference(row, place, value)

    async def _reference(self, row: int, place: str, text: str) -> str:
        try:
            return await self._uploads.cell(text, self._folder)
        except (CommandError, ValueError) as error:  # ValueError: a name with a zero byte
            if len(self.problems) < ROW_PROBLEMS_MAX:
                problem = FieldProblem.of_row(row, shown(place), "file", str(error))
                self.problems.append(problem)
            return text


class _TooLongError(ValueError):
    """A row that the API does not take either."""


_AS_IT_IS: Final[dict[str, Any]] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}


def _text(file: Path) -> IO[str]:
    return file.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="")


def _records(source: IO[str]) -> Iterator[tuple[int, list[str]]]:
    """Yields each row that is not empty, and the line where it begins."""
    reader = csv.reader(_lines(source), strict=True)
    while True:
        number = reader.line_num + 1
        cells = next(reader, None)
        if cells is None:
            return
        if cells:
            yield number, cells


def _lines(source: IO[str]) -> Iterator[str]:
    while line := source.readline(ROW_MAX + 1):
        if len(line) > ROW_MAX:
            raise _TooLongError
        yield line


def _with_columns(header: list[str], cells: list[str]) -> Iterator[tuple[str, str]]:
    """Yields each cell with its column, which is empty for those that have none."""
    for at, cell in enumerate(cells):
        yield header[at] if at < len(header) else "", cell


def _breaks(cell: str) -> int:
    """Returns how many lines end inside of a cell."""
    return cell.count("\n") + cell.count("\r") - cell.count("\r\n")


def _json_line(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode(errors="surrogatepass")


__all__ = ["with_uploads"]
