"""The limit of open files: each connection is one, and most systems allow 1,024 at first."""

from __future__ import annotations

from typing import Final

WANTED: Final = 65_536
_UNKNOWN: Final = 8_192
"""What to reckon with where there is no such limit (Windows)."""


def raise_limit(wanted: int = WANTED) -> int:
    """Raise this process's soft limit to ``wanted``, or to the hard one. Returns the limit."""
    try:
        import resource
    except ImportError:
        return _UNKNOWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return wanted if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # macOS has a lower limit of the kernel's own
        return soft
    return most
