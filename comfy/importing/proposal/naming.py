"""Names of inputs and outputs: words joined by underscores, unique, as JSON keys and columns."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_MAX: Final = 48


def slug(text: str, fallback: str = "input") -> str:
    """The text in lower case, ASCII letters, digits and underscores; a fallback if none is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", plain).lower()
    words = re.sub(r"[^a-z0-9]+", "_", spaced).strip("_").lstrip("0123456789_")
    return words[:_MAX].rstrip("_") or fallback


class Names:
    """Names that are given out once each."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, wish: str, fallback: str = "input") -> str:
        """The wish as a name, with a number behind it if it is taken."""
        base = slug(wish, fallback)
        name, number = base, 2
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name
