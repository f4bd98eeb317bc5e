"""Words that no text for users has any more; docs/glossary.md has those in their place."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = (
    r"pictures?",
    r"in line",
    r"\d+ ahead",
    r"under way",
    r"mend(?:s|ed|ing)?",
    r"nobody|somebody|whoever",
    r"begun|makes?|made",
    r"side by side",
    r"such as:",
    r"put it away|leave it",
    r"one of ours|on our side",
)
_RETIRED: Final = re.compile(rf"(?<![\w/.-])(?:{'|'.join(_WORDS)})(?![\w/-])|\d %", re.IGNORECASE)


def retired_words(text: str) -> list[str]:
    """Returns the retired words in a text; parts of names, paths and URLs are none."""
    return [found[0] for found in _RETIRED.finditer(text)]
