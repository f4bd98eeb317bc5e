"""Which versions of ComfyUI Easel works with."""

from __future__ import annotations

import re
from typing import Final

OLDEST: Final = (0, 3, 45)
"""The first version that keeps the id that a client gives a prompt."""
TARGETED_INTERRUPT: Final = (0, 3, 57)
"""The first version that can interrupt one prompt; older ones interrupt whatever executes."""
_VERSION: Final = re.compile(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?", re.ASCII)


def too_old(version: str) -> str | None:
    """Returns why a ComfyUI of that version cannot be used; None when it can, or is unknown."""
    if not _is_before(version, OLDEST):
        return None
    return f"ComfyUI {version} is too old: Easel needs {_words(OLDEST)} or later"


def says_too_old(reason: str) -> bool:
    """Returns whether that is the reason why ComfyUI cannot be used (``too_old``)."""
    return reason.endswith(f"Easel needs {_words(OLDEST)} or later")


def shortcoming(version: str) -> str | None:
    """Returns what a usable ComfyUI of that version does less well, and how to mend it."""
    if not _is_before(version, TARGETED_INTERRUPT):
        return None
    return (
        f"ComfyUI {version} can only interrupt whatever it executes; {_words(TARGETED_INTERRUPT)} "
        "and later interrupt a single prompt. Update it if others use it too."
    )


def _is_before(version: str, other: tuple[int, int, int]) -> bool:
    found = _VERSION.match(version)
    return found is not None and tuple(int(part or 0) for part in found.groups()) < other


def _words(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))
