"""Paths of ComfyUI's machine in its messages: clients need the file's name, not the folders."""

from __future__ import annotations

import re
from typing import Final

_BEFORE: Final = r"(?<![\w/\\.~-])"
_POSIX: Final = re.compile(
    _BEFORE + r"/(?:[^/\s'\"<>|:;,()\[\]]+(?: [^/\s'\"<>|:;,()\[\]]+)*/)+(?=[^/\s'\"<>|:;,()\[\]])"
)
_WINDOWS: Final = re.compile(
    _BEFORE + r"(?:[A-Za-z]:[\\/]+|\\\\+)(?:[^\\/:*?\"'<>|\r\n]+[\\/]+)*(?=[^\\/\s])"
)


def without_folders(text: str) -> str:
    """Returns the text with each absolute path cut to its last part. URLs stay as they are."""
    return _WINDOWS.sub("", _POSIX.sub("", text))
