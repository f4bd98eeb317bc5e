"""What Easel keeps is readable by its own user alone, not by other accounts of the machine."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

_UMASK: Final = 0o077
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_CLOSED: Final = (
    *("easel.db", "easel.db-wal", "easel.db-shm", "easel.lock", "easel.running.json"),
    *("storage-secret", "images", "prefect", "emulator", "logs", "nicegui"),
)
"""Files and folders of the data folder that Easel writes."""
_EASELS: Final = frozenset({*_CLOSED, "wildcards"})


def keep_private(home: Path) -> None:
    """From now on this process and its children create private files; closes what is in ``home``.

    Earlier versions created files that other accounts could read. The folders that were closed
    once are not walked again. Windows has no such permissions: there this changes nothing.
    """
    os.umask(_UMASK)
    if os.name != "nt" and home.is_dir():
        _close_home(home)


def _close_home(home: Path) -> None:
    for name in _CLOSED:
        _close(home / name)
    # A folder that has other things in it too, such as the user's own, stays as it is.
    if all(entry.name in _EASELS for entry in _entries(home)):
        _remove_access(home)


def _close(path: Path) -> None:
    """Close the innermost first: a walk that is interrupted is repeated at the next start."""
    with suppress(OSError):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) and mode & _OTHERS:
            for entry in _entries(path):
                _close(entry)
        if stat.S_ISDIR(mode) or stat.S_ISREG(mode):  # a link leads to what is not Easel's
            _remove_access(path)


def _remove_access(path: Path) -> None:
    with suppress(OSError):  # another account's, such as a shared volume
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _OTHERS:
            path.chmod(mode & ~_OTHERS)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
