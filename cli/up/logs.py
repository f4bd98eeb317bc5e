"""The log of one part: a file in the home's ``logs`` folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

LARGEST: Final = 5_000_000
"""Bytes; a larger log becomes ``<part>.log.1``, while its part runs too."""
_TAIL_BYTES: Final = 64_000


@dataclass
class PartLog:
    """What a part writes to stdout and stderr. ``begins`` is where its newest start begins."""

    path: Path
    begins: int = 0

    @contextmanager
    def open_for_start(self) -> Iterator[BinaryIO]:
        """The file to give to a new process, rotated when it is large."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > LARGEST:
            self.path.replace(self._aside)
        with self.path.open("ab") as file:
            now = datetime.now(UTC).astimezone().isoformat(" ", "seconds")
            file.write(f"--- {now} start\n".encode())
            file.flush()
            self.begins = file.tell()
            yield file

    def rotate(self) -> None:
        """Put a large log aside while its part writes to it. Raises OSError.

        Its content is copied and the file emptied, since the process has the file open: it appends,
        so it goes on at the new end. A line that is written between the two is lost.
        """
        if not self.path.exists() or self.path.stat().st_size <= LARGEST:
            return
        with self.path.open("r+b") as file, self._aside.open("wb") as aside:
            file.seek(-LARGEST, os.SEEK_END)
            shutil.copyfileobj(file, aside)
            file.truncate(0)
        self.begins = 0

    @property
    def _aside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.1")

    def tail(self, lines: int = 12) -> list[str]:
        """The last lines since the newest start."""
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self.begins, end - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-lines:]
