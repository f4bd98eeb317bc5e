"""What is typed into the search field: words in any order, ``-word``, ``"words in this order"``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from store.search.words import fold, is_joined, words_sought

TERMS_MAX: Final = 50
_QUOTES: Final = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
_TERM: Final = re.compile(r'(?P<without>-?)(?:"(?P<quoted>[^"]*)"?|(?P<plain>[^\s"]+))')


@dataclass(frozen=True)
class Term:
    """Words that must (or, if ``excluded``, must not) follow each other in a generation's text.

    ``is_beginning``: the last of them may be just the beginning of a word.
    """

    words: tuple[str, ...]
    is_beginning: bool
    excluded: bool


def read_query(text: str) -> tuple[Term, ...]:
    """Returns the terms, all of which must hold. Never fails: every text can be searched for."""
    found = []
    for match in _TERM.finditer(fold(text.translate(_QUOTES))):
        quoted = match["quoted"]
        words = words_sought(match["plain"] if quoted is None else quoted)
        if words:
            last = words[-1]
            part = len(last) == 1 and is_joined(last)  # the first half of a pair
            found.append(Term(tuple(words), quoted is None or part, bool(match["without"])))
    return tuple(found[:TERMS_MAX])


def for_sqlite(term: Term) -> str:
    """Returns the term as an FTS5 query. Words hold no quotation marks."""
    return f'"{" ".join(term.words)}"' + (" *" if term.is_beginning else "")


def for_postgresql(term: Term) -> str:
    """Returns the term as a ``tsquery``. Words hold neither apostrophes nor backslashes."""
    phrase = " <-> ".join(f"'{word}'" for word in term.words)
    return phrase + (":*" if term.is_beginning else "")
