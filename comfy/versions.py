"""Which versions of ComfyUI Easel works with."""

from __future__ import annotations

import re
from typing import Final

OLDEST: Final = (0, 3, 45)
"""The first version that keeps the id that a client gives a prompt."""
TARGETED_INTERRUPT: Final = (0, 3, 57)
"""The first version that can interrupt one prompt; older ones interrupt whatever executes."""
_VERSION: Final = re.compile(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?", re.ASCII)

_UNKNOWN: Final = (1_000_000,)


def too_old(version: str) -> str | None:
    """Returns why a ComfyUI of that version cannot be used; None when it can, or is unknown."""
    if not is_before(version, OLDEST):
        return None
    return f"ComfyUI {version} is too old: Easel needs {words(OLDEST)} or later"


def says_too_old(reason: str) -> bool:
    """Returns whether that is the reason why ComfyUI cannot be used (``too_old``)."""
    return reason.endswith(f"Easel needs {words(OLDEST)} or later")


def shortcoming(version: str) -> str | None:
    """Returns what a usable ComfyUI of that version does less well, and how to mend it."""
    if not is_before(version, TARGETED_INTERRUPT):
        return None
    return (
        f"ComfyUI {version} can only interrupt whatever it executes; {words(TARGETED_INTERRUPT)} "
        "and later interrupt a single prompt. Update it if others use it too."
    )


def is_before(version: str, other: tuple[int, ...]) -> bool:
    """Returns whether a version is older than another one; False for one that is unknown."""
    return parts(version) < other


def parts(version: str) -> tuple[int, ...]:
    """Returns a version by which it can be compared; an unknown one is newer than any other."""
    found = _VERSION.match(version)
    return _UNKNOWN if found is None else tuple(int(part or 0) for part in found.groups())


def words(version: tuple[int, ...]) -> str:
    """Returns a version as ComfyUI writes it."""
    return ".".join(map(str, version))
