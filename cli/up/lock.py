"""One ``easel up`` for each home: a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final

_LOCKED_BYTE: Final = 4096
"""Windows locks bytes for readers too, so the lock lies behind the words."""


@dataclass(frozen=True)
class Running:
    """Who holds a home, as the file tells."""

    pid: int
    api_url: str
    prefect_api_url: str
    prefect_ui_url: str


class AlreadyRunningError(Exception):
    """Another process holds the home; ``running`` is None while it has not said who it is."""

    def __init__(self, running: Running | None) -> None:
        super().__init__("the home is in use")
        self.running = running


@contextmanager
def hold(path: Path, me: Running) -> Iterator[None]:
    """Hold the home until the block ends. Raises AlreadyRunningError.

    The file itself stays: to remove it would let two processes lock two files of one name.
    """
    with path.open("r+b" if path.exists() else "w+b") as file:
        if not _try_lock(file):
            raise AlreadyRunningError(read_lock(path))
        file.truncate(0)
        file.write(json.dumps(asdict(me)).encode())
        file.flush()
        yield
        file.truncate(0)


def read_lock(path: Path) -> Running | None:
    """Who holds the home (or died holding it); None when nobody does."""
    try:
        return Running(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool:
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(0)
        return True

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def own_pid() -> int:
    """The pid to write into the lock."""
    return os.getpid()
