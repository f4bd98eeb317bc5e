"""Types of sockets, and which of them fit together."""

from __future__ import annotations

_ANY = ("*", "", "0")


def fits(output: str, wanted: str) -> bool:
    """Whether an output of one type can feed an input of another; both may be "A,B" lists."""
    if output in _ANY or wanted in _ANY or output == wanted:
        return True
    return bool(_parts(output) & _parts(wanted))


def _parts(kind: str) -> set[str]:
    return {part.strip().lower() for part in kind.split(",")}
