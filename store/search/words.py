"""Splits text into words for the full-text index, the same for both databases and every script.

Databases split text by rules of their own, which differ and know few scripts; so Easel splits it,
and an index is given finished words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

WORD_MAX: Final = 64
"""Characters of a word that count. A PostgreSQL lexeme must be shorter than 2 KB."""
_JOINED_SCRIPTS: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark, zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3130, 0x318F),  # Hangul Compatibility Jamo
    (0x31F0, 0x31FF),  # Katakana phonetic extensions
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7FF),  # Hangul
    (0xF900, 0xFAFF),  # Han
    (0x20000, 0x3FFFF),
)
"""Scripts without spaces between words, and Hangul, in which particles follow a word directly."""
_ACCENTS: Final = (range(10, 36), range(200, 241))
"""Combining classes of marks that people leave out when they search: vowel points of Hebrew and
Arabic, and accents. Not those of Indic scripts, kana and Thai: they make another word."""


def fold(text: str) -> str:
    """Returns the text without differences of case, of Unicode form and of accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(c for c in unicodedata.normalize("NFKD", decomposed) if not _is_accent(c))
    return unicodedata.normalize("NFKC", plain)


def words_of(text: str) -> list[str]:
    """Returns the words of a text to be indexed, in order.

    Text in a joined script becomes pairs of neighbouring characters, ``abc`` → ``ab bc c``, so
    that any part of it can be found: as consecutive pairs, or as the beginning of one.
    """
    return [
        word
        for is_joined, run in _runs(fold(text))
        for word in (_pairs(run) if is_joined else [run[:WORD_MAX]])
    ]


def words_sought(folded: str) -> list[str]:
    """Returns the words that stand in this order where ``folded`` stands in an indexed text.

    The last of them may be just the beginning of a word.
    """
    runs = list(_runs(folded))
    found: list[str] = []
    for place, (is_joined, run) in enumerate(runs):
        if not is_joined:
            found.append(run[:WORD_MAX])
        elif place == len(runs) - 1 and len(run) > 1:
            found += _pairs(run)[:-1]  # the text may go on after it
        else:
            found += _pairs(run)
    return found


def is_joined(character: str) -> bool:
    """Whether it belongs to a script that is indexed in pairs of characters."""
    return any(first <= ord(character) <= last for first, last in _JOINED_SCRIPTS)


def _runs(folded: str) -> Iterator[tuple[bool, str]]:
    """Yields runs of characters that belong together, and whether a run is of a joined script."""
    run, kind = "", ""
    for character in folded:
        found = _kind(character)
        if run and (found != kind or kind == "symbol"):
            yield kind == "joined", run
            run = ""
        kind = found
        if found:
            run += character
    if run:
        yield kind == "joined", run


@lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    """Returns ``joined``, ``word``, ``symbol`` (a word by itself: an emoji), else ""."""
    category = unicodedata.category(character)
    if category[0] in "LNM":
        return "joined" if is_joined(character) else "word"
    return "symbol" if category in {"So", "Cn", "Co"} else ""


def _pairs(run: str) -> list[str]:
    return [run[place : place + 2] for place in range(len(run))]


def _is_accent(character: str) -> bool:
    return any(unicodedata.combining(character) in classes for classes in _ACCENTS)
