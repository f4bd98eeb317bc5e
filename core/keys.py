"""Keys of other services: given as a text, or in a file that only its owner can read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

_KEY: Final = re.compile(r"[!#-\[\]-~]{8,1000}")
"""Printable ASCII without blanks, quotes and backslashes: it looks the same in every JSON."""
_MODE: Final = 0o600
_BYTES_MAX: Final = 4096


def checked_key(key: str) -> str:
    """Returns the key without the blanks around it. ValueError without its text if it is none."""
    key = key.strip()
    if not _KEY.fullmatch(key):
        raise ValueError(
            "is not a key: 8 to 1000 letters, digits and signs are, without blanks and quotes"
        )
    return key


def key_in(file: Path) -> str:
    """Returns the key that is all of a file.

    ValueError if it cannot be read, belongs to another user, has another mode than 0600, or holds
    no key. Windows has no such modes.
    """
    try:
        with file.open("rb") as opened:
            _check_is_private(file, os.fstat(opened.fileno()))
            data = opened.read(_BYTES_MAX)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    try:
        return checked_key(data.decode("ascii", "replace"))
    except ValueError as error:
        raise ValueError(f"{file} {error}") from None


def _check_is_private(file: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{file} is not a file")
    if os.name == "nt":
        return
    if found.st_uid != os.geteuid():
        raise ValueError(f"{file} belongs to another user: run chown {os.geteuid()} {file}")
    mode = stat.S_IMODE(found.st_mode)
    if mode != _MODE:
        raise ValueError(f"{file} has mode {mode:04o}, and must have 0600: run chmod 600 {file}")
