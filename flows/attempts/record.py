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
