"""How the pictures of a batch are named: the same in ``results.zip`` and in a folder."""

from __future__ import annotations

import re
from typing import Final

_WORDS_MAX: Final = 40


def picture_stem(position: int, number: int, prompt: str) -> str:
    """Returns the name, without its ending, of an item's picture; both are counted from 0.

    Letters and digits of any script stay as they are. Users' scripts rely on these names.
    """
    words = re.sub(r"[^\w]+", "-", prompt).strip("-")[:_WORDS_MAX].rstrip("-")
    stem = f"{position + 1:05}" + (f"-{number + 1}" if number else "")
    return f"{stem}-{words}" if words else stem
