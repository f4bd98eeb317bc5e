"""One ``easel up`` for each home: a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout


@dataclass(frozen=True)
class Running:
    """The process that holds a home, as written in the file."""

    pid: int
    api_url: str
    prefect_api_url: str
    prefect_ui_url: str


class AlreadyRunningError(Exception):
    """Another process holds the home; ``running`` is None until that process has written it."""

    def __init__(self, running: Running | None) -> None:
        super().__init__("the home is in use")
        self.running = running


@contextmanager
def hold(path: Path, me: Running) -> Iterator[None]:
    """Hold the home until the block ends. Raises AlreadyRunningError.

    The holder is written to a file next to the lock: acquiring a lock empties the lock's file.
    """
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise AlreadyRunningError(read_lock(path)) from error
    try:
        _words(path).write_text(json.dumps(asdict(me)), encoding="utf-8")
        yield
    finally:
        _words(path).unlink(missing_ok=True)
        lock.release()


def read_lock(path: Path) -> Running | None:
    """Returns the process that holds the home, or died holding it; None when it is free."""
    try:
        return Running(**json.loads(_words(path).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def own_pid() -> int:
    """The pid to write into the lock."""
    return os.getpid()


def _words(path: Path) -> Path:
    return path.with_suffix(".running.json")
