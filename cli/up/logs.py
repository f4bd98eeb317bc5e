"""The log of one part: a file in the home's ``logs`` folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

LARGEST: Final = 5_000_000
"""Bytes; a larger log becomes ``<part>.log.1`` when its part starts."""
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
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        with self.path.open("ab") as file:
            now = datetime.now(UTC).astimezone().isoformat(" ", "seconds")
            file.write(f"--- {now} start\n".encode())
            file.flush()
            self.begins = file.tell()
            yield file

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
