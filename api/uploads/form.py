"""A form with one file (multipart/form-data), read as it arrives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.body import shown
from api.errors import ProblemError
from core.problems import FieldProblem

FIELD: Final = "file"
"""The form's one field."""


@dataclass
class FileForm:
    """Fed with a form's pieces, it gives those of the file. Raises ProblemError.

    ``name`` is the file's own, once its data comes; ``has_file`` says whether there was one.
    """

    boundary: str
    name: str = ""
    has_file: bool = False
    _is_whole: bool = False
    _header: tuple[bytes, bytes] = (b"", b"")
    _disposition: bytes = b""
    _data: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self._parser = MultipartParser(
                self.boundary.encode("latin-1"),
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._part_data,
                    "on_end": self._form_ends,
                },
            )
        except (FormParserError, UnicodeEncodeError, ValueError) as error:
            raise malformed() from error

    def feed(self, piece: bytes) -> list[bytes]:
        """Returns the pieces of the file in a piece of the form."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise malformed() from error
        found, self._data = self._data, []
        return found

    def end(self) -> None:
        """Make sure that the form was whole and had a file."""
        if not self._is_whole:
            raise malformed()
        if not self.has_file:
            raise _wrong(FIELD, "missing", "is missing: the form needs a field with the file")

    def _part_begins(self) -> None:
        self._disposition, self._header = b"", (b"", b"")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        name, value = self._header
        self._header = (name + data[start:end], value)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        name, value = self._header
        self._header = (name, value + data[start:end])

    def _header_ends(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = (b"", b"")

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        field_name = options.get(b"name", b"").decode("utf-8", "replace")
        if field_name != FIELD:
            raise _wrong(field_name, "extra_forbidden", f"the form has one field, `{FIELD}`")
        if self.has_file:
            raise _wrong(FIELD, "duplicate", "it is there twice: send one file with each request")
        self.has_file = True
        self.name = options.get(b"filename", b"").decode("utf-8", "replace")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _form_ends(self) -> None:
        self._is_whole = True


def malformed() -> ProblemError:
    """Returns the problem of a form that cannot be read."""
    return ProblemError("bad_request", "the form (multipart/form-data) is malformed or incomplete")


def _wrong(name: str, code: str, message: str) -> ProblemError:
    problem = FieldProblem((shown(name),), code, message)
    return ProblemError("invalid_request", str(problem), errors=[problem])
