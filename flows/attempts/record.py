"""What an attempt or a stage logs, kept to be read in the flow run's log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final


@dataclass(frozen=True)
class Line:
    """A line of a log. ``level`` is one of the module ``logging``."""

    at: datetime
    level: int
    text: str

    def to_json(self) -> list[str | int]:
        """Returns the line as ``from_json`` reads it."""
        return [self.at.isoformat(), self.level, self.text]

    @classmethod
    def from_json(cls, written: object) -> Line | None:
        """Returns the line, None if it cannot be read."""
        match written:
            case [at, int(level), str(text)] if (moment := read_moment(at)) is not None:
                return cls(moment, level, text)
        return None


def read_moment(written: object) -> datetime | None:
    """Returns the moment, None if it cannot be read."""
    try:
        return datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return None


class Record:
    """``log`` takes lines, ``lines`` has them; ``on_line`` is called after each."""

    def __init__(self, name: str, on_line: Callable[[], None]) -> None:
        # Its own: it ends with the attempt, and its lines go nowhere else.
        self.log: Final = logging.Logger(name)  # noqa: LOG001
        self.log.addHandler(_Keeping(self))
        self.lines: list[Line] = []
        self.on_line: Final = on_line
        self._read = 0

    def unread(self) -> list[Line]:
        """Returns the lines that were not returned before."""
        found, self._read = self.lines[self._read :], len(self.lines)
        return found


class _Keeping(logging.Handler):
    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record = record

    def emit(self, record: logging.LogRecord) -> None:
        at = datetime.fromtimestamp(record.created, UTC)
        self._record.lines.append(Line(at, record.levelno, self.format(record)))
        self._record.on_line()
