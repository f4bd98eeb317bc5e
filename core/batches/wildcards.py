r"""Prompt templates: one text that stands for many prompts.

| written | stands for |
|---|---|
| ``{red|blue} fox`` | one of the alternatives, which may be empty and may hold templates |
| ``{3::red|blue}`` | red three times as often; a weight is a positive number, 1 without one |
| ``__animal__`` | a line of the list ``animal``, which may hold templates too |
| ``\{`` ``\}`` ``\|`` ``\_`` ``\\`` | the character itself |

Everything else is literal: ``(fox:1.2)``, ``score_9``, ``\(``, a lone ``__``.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Final, TypeAlias

TEMPLATE_MAX: Final = 50_000
"""The longest template, in characters."""
NESTING_MAX: Final = 32
"""How deep braces may be nested."""
LISTS_DEEP_MAX: Final = 10
"""How deep lists may refer to lists."""
DRAWS_MAX: Final = 1_000
"""The most list lines in one expansion: lists of lists grow exponentially."""
WEIGHT_MAX: Final = 1_000_000

# Runs of letters and digits, joined by single "-", "_" or "/". Possessive: linear on any text.
_NAME: Final = r"[^\W_]++(?:[-_/][^\W_]++)*+"
_TOKEN: Final = re.compile(rf"\\[{{}}|_\\]|[{{}}|]|__(?P<name>{_NAME})__")
_SPECIAL: Final = re.compile(r"[{}|\\]|__")
_WEIGHT: Final = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))::")


class UnreadableListError(ValueError):
    """A file of the wildcards' folder cannot be read; the message names it."""


class WildcardError(ValueError):
    """A template cannot be read or expanded. ``position`` counts its characters from 0."""

    def __init__(self, reason: str, position: int) -> None:
        self.reason = reason
        self.position = position
        super().__init__(f"{reason} (at character {position + 1})")


@dataclass(frozen=True)
class _List:
    """A line of a list. ``position`` is where the template names it."""

    name: str
    position: int


@dataclass(frozen=True)
class _Choice:
    """One of ``options``; ``cumulative`` are their weights, summed up to each option."""

    options: tuple[tuple[_Part, ...], ...]
    cumulative: tuple[float, ...]

    def drawn(self, chance: random.Random) -> tuple[_Part, ...]:
        place = bisect_right(self.cumulative, chance.random() * self.cumulative[-1])
        return self.options[min(place, len(self.options) - 1)]


_Part: TypeAlias = str | _List | _Choice


@dataclass(frozen=True)
class Template:
    """A parsed text."""

    parts: tuple[_Part, ...]
    named: tuple[_List, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Returns the lists that the text itself names; their lines may name others."""
        return frozenset(each.name for each in self.named)

    def expand(self, chance: random.Random, lists: Mapping[str, Sequence[str]]) -> str:
        """Returns one of the texts; an equal ``chance`` draws the same one on every Python version.

        Raises WildcardError: a list is missing or empty (even if the draw would not have used it),
        or its lines cannot be parsed or nest too deep.
        """
        for each in self.named:
            _lines_of(lists, each.name, each.position)
        return "".join(_expanded(self.parts, chance, lists))


def parse(text: str) -> Template:
    """Parses a template. Raises WildcardError."""
    # Most prompts are plain and all differ: they would only evict templates from the cache.
    if not _SPECIAL.search(text):
        return Template((text,))
    return _short(text) if len(text) <= _SHORT else _long(text)


def read_lists(folder: Path) -> Mapping[str, Sequence[str]]:
    """Reads the lists in a folder: ``animal.txt`` is ``animal``, ``sub/animal.txt`` ``sub/animal``.

    Empty lines and lines that begin with ``#`` are skipped, as is a file whose name is not
    allowed between underscores. Without the folder there are no lists. Raises UnreadableListError.
    """
    named = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.txt"))
    }
    return {name: _lines(path) for name, path in named.items() if re.fullmatch(_NAME, name)}


def _lines(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # Notepad writes a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "cannot be read"
        raise UnreadableListError(f"the list {path.name} {why}") from error
    lines = (line.strip() for line in text.split("\n"))
    return tuple(line for line in lines if line and not line.startswith("#"))


def _parsed(text: str) -> Template:
    if len(text) > TEMPLATE_MAX:
        raise WildcardError(f"templates may have {TEMPLATE_MAX} characters at most", TEMPLATE_MAX)
    return _Parser(text).template()


# A parsed template takes some fifty times its text: a thousand of the longest would be gigabytes.
_SHORT: Final = 1_000
_short: Final = lru_cache(maxsize=512)(_parsed)
_long: Final = lru_cache(maxsize=8)(_parsed)


@dataclass
class _Group:
    """Braces that are still open. ``around`` is what precedes them."""

    position: int
    around: list[_Part]
    weight: float = 1.0
    weights: list[float] = field(default_factory=list)
    options: list[tuple[_Part, ...]] = field(default_factory=list)


class _Parser:
    """One pass over the tokens, with a stack of open groups instead of recursion."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._read = 0
        self._parts: list[_Part] = []
        self._groups: list[_Group] = []
        self._named: list[_List] = []

    def template(self) -> Template:
        for token in _TOKEN.finditer(self._text):
            self._literal(token.start())
            self._read = token.end()
            self._take(token)
        self._literal(len(self._text))
        if self._groups:
            raise WildcardError("a { is never closed", self._groups[-1].position)
        return Template(tuple(self._parts), tuple(self._named))

    def _literal(self, end: int) -> None:
        if end > self._read:
            self._parts.append(self._text[self._read : end])

    def _take(self, token: re.Match[str]) -> None:
        written, name = token[0], token["name"]
        if name is not None:
            self._named.append(_List(name, token.start()))
            self._parts.append(self._named[-1])
        elif written == "{":
            self._open(token.start())
        elif written == "|" and self._groups:
            self._end_option()
            self._begin_option()
        elif written == "}":
            self._close(token.start())
        else:
            self._parts.append(written[-1])

    def _open(self, position: int) -> None:
        if len(self._groups) == NESTING_MAX:
            raise WildcardError(f"braces may be {NESTING_MAX} deep at most", position)
        self._groups.append(_Group(position, self._parts))
        self._begin_option()

    def _begin_option(self) -> None:
        self._parts = []
        self._groups[-1].weight = self._weight()

    def _weight(self) -> float:
        found = _WEIGHT.match(self._text, self._read)
        if found is None:
            return 1.0
        weight = float(found[1])
        if not 0 < weight <= WEIGHT_MAX:
            message = f"a weight must be more than 0 and at most {WEIGHT_MAX}"
            raise WildcardError(message, self._read)
        self._read = found.end()
        return weight

    def _end_option(self) -> None:
        group = self._groups[-1]
        group.options.append(tuple(self._parts))
        group.weights.append(group.weight)

    def _close(self, position: int) -> None:
        if not self._groups:
            raise WildcardError("a } closes nothing; write \\} for the character", position)
        self._end_option()
        group = self._groups.pop()
        self._parts = group.around
        self._parts.append(_Choice(tuple(group.options), tuple(accumulate(group.weights))))


def _expanded(
    parts: tuple[_Part, ...], chance: random.Random, lists: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Expands left to right, depth first. Each part knows how deep in lists it is, and where the
    template named the outermost of them.
    """
    draws = 0
    ahead = [(part, 0, -1) for part in reversed(parts)]
    while ahead:
        part, depth, position = ahead.pop()
        if isinstance(part, str):
            yield part
            continue
        if isinstance(part, _Choice):
            inner = part.drawn(chance)
        else:
            position = position if depth else part.position
            depth, draws = depth + 1, draws + 1
            _check_extent(part.name, depth, draws, position)
            inner = _line_of(part.name, chance, lists, position)
        ahead += [(each, depth, position) for each in reversed(inner)]


def _check_extent(name: str, depth: int, draws: int, position: int) -> None:
    if depth > LISTS_DEEP_MAX:
        message = f"lists lead to lists deeper than {LISTS_DEEP_MAX}, perhaps in a circle: {name}"
        raise WildcardError(message, position)
    if draws > DRAWS_MAX:
        raise WildcardError(f"lists would give more than {DRAWS_MAX} lines: {name}", position)


def _line_of(
    name: str, chance: random.Random, lists: Mapping[str, Sequence[str]], position: int
) -> tuple[_Part, ...]:
    lines = _lines_of(lists, name, position)
    # Only random() is guaranteed to give the same numbers on every Python version.
    line = lines[min(int(chance.random() * len(lines)), len(lines) - 1)]
    try:
        return parse(line).parts
    except WildcardError as error:
        raise WildcardError(f"a line of the list {name}: {error.reason}", position) from error


def _lines_of(lists: Mapping[str, Sequence[str]], name: str, position: int) -> Sequence[str]:
    lines = lists.get(name)
    if not lines:
        what = "there is no list" if lines is None else "there is nothing in the list"
        raise WildcardError(f"{what} {name}", position)
    return lines
