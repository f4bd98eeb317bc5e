r"""Prompt templates: one text that stands for many prompts. The syntax is that of Dynamic Prompts.

| written | stands for |
|---|---|
| ``{red|blue} fox`` | one of the alternatives, which may be empty and may hold templates |
| ``{3::red|blue}`` | red three times as often; a weight is a positive number, 1 without one |
| ``{2$$a|b|c}`` | two of them, joined by ", "; never the same one twice |
| ``{1-2$$ and $$a|b|c}`` | one or two of them, joined by " and "; ``{-2$$…}`` and ``{1-$$…}`` too |
| ``__animal__`` | a line of the list ``animal``, which may hold templates and have a weight too |
| ``{2$$__animal__}`` | two lines of the list |
| ``${c=red}`` … ``${c}`` | a variable: a template that is drawn anew at each use |
| ``${c=!{red|blue}}`` | drawn once; ``${c:red}`` is the variable, or red where it is not set |
| ``{~a|b}`` ``__~animal__`` | drawn at random, which is what happens anyway |
| ``\{`` ``\}`` ``\|`` ``\_`` ``\\`` | the character itself |

A variable holds to the end of the text, option or list line that sets it. What else Dynamic
Prompts has is refused by name. Everything else is literal: ``(fox:1.2)``, ``score_9``, ``\(``, a
lone ``__``.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Final, Literal, NoReturn, TypeAlias

TEMPLATE_MAX: Final = 50_000
"""The longest template, in characters."""
NESTING_MAX: Final = 32
"""How deep braces may be nested."""
VARIABLES_MAX: Final = 100
"""How many variables a text may set."""
WEIGHT_MAX: Final = 1_000_000
NAME_MAX: Final = 200
"""The longest name of a list, in characters."""
SEPARATOR: Final = ", "
"""What joins several options where the template names nothing else."""

# A name begins with neither a blank nor an underscore, so that a lone "__" stays literal.
# Possessive: linear on any text.
_NAME: Final = rf"[^\s_{{}}|\\](?:[^_{{}}|\\\r\n]|_(?!_)){{0,{NAME_MAX - 1}}}+"
_VARIABLE: Final = r"[^\W\d][\w-]{0,99}"
_TOKEN: Final = re.compile(
    r"\\[{}|_\\]"
    rf"|\$\{{\s*+(?P<variable>{_VARIABLE})\s*+(?:(?P<set>=)\s*+(?P<now>!?)|(?P<default>:)|(?=\}}))"
    r"|[{}|]"
    rf"|__(?P<name>{_NAME})__"
    r"|__(?P<drawn>\$?\{[^{}]*+\}__)"
)
_SPECIAL: Final = re.compile(r"[{}|\\]|__")
_BLANKS: Final = re.compile(r"\s*")
_WEIGHT: Final = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))::")
_SAMPLER: Final = re.compile(r"[~@!](?=[^\s|}])")
_BOUNDS: Final = re.compile(
    r"\s*(?:(?P<exact>[0-9]{1,4})|(?P<low>[0-9]{1,4})-(?P<high>[0-9]{0,4})|-(?P<most>[0-9]{1,4}))"
    r"\$\$(?:(?P<separator>[^${}|\\]*)\$\$)?"
)
_SAMPLERS: Final = {"@": "cycling through the values (@)", "!": "every combination (!)"}


class WildcardError(ValueError):
    """A template cannot be read or expanded. ``position`` counts its characters from 0."""

    def __init__(self, reason: str, position: int) -> None:
        self.reason = reason
        self.position = position
        super().__init__(f"{reason} (at character {position + 1})")


@dataclass(frozen=True)
class NamedList:
    """A line of a list. ``position`` is where the template names it."""

    name: str
    position: int


@dataclass(frozen=True)
class Choice:
    """``low`` to ``high`` of the ``options``, joined; ``high`` is None for as many as there are.

    ``cumulative`` are the options' weights, summed up to each option.
    """

    options: tuple[tuple[Part, ...], ...]
    cumulative: tuple[float, ...]
    low: int = 1
    high: int | None = 1
    separator: str = SEPARATOR
    position: int = 0

    @property
    def of_list(self) -> NamedList | None:
        """The list, where the only option is one."""
        match self.options:
            case ((NamedList() as named,),):
                return named
        return None


@dataclass(frozen=True)
class Assignment:
    """Sets a variable; ``now`` draws its value once, otherwise each use draws it."""

    variable: str
    value: tuple[Part, ...]
    now: bool


@dataclass(frozen=True)
class Use:
    """The value of a variable; ``default`` where it is not set, None where it must be."""

    variable: str
    default: tuple[Part, ...] | None
    position: int


Part: TypeAlias = str | NamedList | Choice | Assignment | Use


@dataclass(frozen=True)
class Template:
    """A parsed text."""

    parts: tuple[Part, ...]
    named: tuple[NamedList, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Returns the lists that the text itself names; their lines may name others."""
        return frozenset(each.name for each in self.named)


def parse(text: str) -> Template:
    """Parses a template. Raises WildcardError."""
    # Most prompts are plain and all differ: they would only evict templates from the cache.
    if not _SPECIAL.search(text):
        return Template((text,))
    return _short(text) if len(text) <= _SHORT else _long(text)


def parse_uncached(text: str) -> Template:
    """Parses a template that is not drawn now: one of the many lines of a list."""
    return _read(text) if _SPECIAL.search(text) else Template((text,))


def first_wildcard(text: str) -> str | None:
    """Returns the first thing in a text that a batch would expand, as it is written; None if none.

    A single generation expands nothing: its prompt goes to the model as written.
    """
    for token in _TOKEN.finditer(text):
        if token["name"] is not None or token["drawn"] is not None:
            return token[0]
        if token["variable"] is not None or token[0] == "{":
            end = text.find("}", token.end())
            return text[token.start() : end + 1] if end >= 0 else text[token.start() :]
    return None


def split_weight(line: str) -> tuple[float, str]:
    """Returns the weight of a list's line, and the line without it. Raises WildcardError."""
    found = _WEIGHT.match(line)
    if found is None:
        return 1.0, line
    return _weight_of(found, 0), line[found.end() :].lstrip()


def list_name(text: str) -> str:
    """Returns a list's name in the one form that is compared: macOS writes accents apart."""
    return unicodedata.normalize("NFC", text)


def _read(text: str) -> Template:
    if len(text) > TEMPLATE_MAX:
        raise WildcardError(f"templates may have {TEMPLATE_MAX} characters at most", TEMPLATE_MAX)
    return _Parser(text).template()


# A parsed template takes some fifty times its text: a thousand of the longest would be gigabytes.
_SHORT: Final = 1_000
_short: Final = lru_cache(maxsize=512)(_read)
_long: Final = lru_cache(maxsize=8)(_read)


def _weight_of(found: re.Match[str], position: int) -> float:
    weight = float(found[1])
    if not 0 < weight <= WEIGHT_MAX:
        message = f"a weight must be more than 0 and at most {WEIGHT_MAX}"
        raise WildcardError(message, position)
    return weight


@dataclass
class _Group:
    """Braces that are still open. ``around`` is what precedes them."""

    position: int
    around: list[Part]
    kind: Literal["choice", "set", "use"] = "choice"
    variable: str = ""
    now: bool = False
    has_default: bool = False
    low: int = 1
    high: int | None = 1
    separator: str = SEPARATOR
    weight: float = 1.0
    weights: list[float] = field(default_factory=list)
    options: list[tuple[Part, ...]] = field(default_factory=list)

    def choice(self) -> Choice:
        cumulative = tuple(accumulate(self.weights))
        return Choice(
            tuple(self.options), cumulative, self.low, self.high, self.separator, self.position
        )


class _Parser:
    """One pass over the tokens, with a stack of open groups instead of recursion."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._read = 0
        self._parts: list[Part] = []
        self._groups: list[_Group] = []
        self._named: list[NamedList] = []
        self._variables = 0

    def template(self) -> Template:
        while (token := _TOKEN.search(self._text, self._read)) is not None:
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
        written = token[0]
        if token["name"] is not None:
            self._name(token["name"], token.start())
        elif token["variable"] is not None:
            self._open_variable(token)
        elif token["drawn"] is not None:
            _unsupported("a list's name that is drawn", token.start())
        elif written == "{":
            self._open_choice(token.start())
        elif written == "|" and self._groups and self._groups[-1].kind == "choice":
            self._end_option()
            self._begin_option()
        elif written == "}":
            self._close(token.start())
        else:
            self._parts.append(written[-1])

    def _name(self, written: str, position: int) -> None:
        if written[0] in _SAMPLERS:
            _unsupported(_SAMPLERS[written[0]], position)
        name = list_name(written.removeprefix("~").strip())
        self._named.append(NamedList(name, position))
        self._parts.append(self._named[-1])

    def _open_choice(self, position: int) -> None:
        group = self._open(_Group(position, self._parts))
        sampler = _SAMPLER.match(self._text, self._read)
        if sampler is not None:
            if sampler[0] in _SAMPLERS:
                _unsupported(_SAMPLERS[sampler[0]], self._read)
            self._read = sampler.end()
        self._read_bounds(group)
        self._begin_option()

    def _open_variable(self, token: re.Match[str]) -> None:
        group = _Group(token.start(), self._parts, "set" if token["set"] else "use")
        group.variable, group.now = token["variable"], bool(token["now"])
        group.has_default = token["default"] is not None
        self._open(group)
        self._parts = []

    def _open(self, group: _Group) -> _Group:
        if len(self._groups) == NESTING_MAX:
            raise WildcardError(f"braces may be {NESTING_MAX} deep at most", group.position)
        self._groups.append(group)
        return group

    def _read_bounds(self, group: _Group) -> None:
        """Reads how many options are wanted, and what joins them: ``2$$``, ``1-2$$ and $$``."""
        found = _BOUNDS.match(self._text, self._read)
        if found is None:
            return
        if self._is_wrapper(group):
            _unsupported("a wrapper (%{…$$…})", group.position - 1)
        if found["exact"] is not None:
            group.low = int(found["exact"])
            group.high = group.low
        else:
            group.low = int(found["low"] or 1)
            most = found["most"] if found["low"] is None else found["high"]
            group.high = int(most) if most else None
        if group.high is not None and group.high < group.low:
            raise WildcardError("the larger number of a range comes second", self._read)
        if found["separator"] is not None:
            group.separator = found["separator"]
        self._read = found.end()

    def _begin_option(self) -> None:
        self._parts = []
        found = _WEIGHT.match(self._text, self._read)
        self._groups[-1].weight = 1.0 if found is None else _weight_of(found, self._read)
        if found is not None:
            self._read = found.end()

    def _end_option(self) -> None:
        group = self._groups[-1]
        group.options.append(tuple(self._parts))
        group.weights.append(group.weight)

    def _close(self, position: int) -> None:
        if not self._groups:
            raise WildcardError("a } closes nothing; write \\} for the character", position)
        group = self._groups.pop()
        inner = tuple(self._parts)
        self._parts = group.around
        if group.kind == "set":
            self._variables += 1
            if self._variables > VARIABLES_MAX:
                message = f"a text may set {VARIABLES_MAX} variables at most"
                raise WildcardError(message, group.position)
            self._parts.append(Assignment(group.variable, inner, group.now))
            # The assignment itself is no text, so neither is the blank behind it.
            blanks = _BLANKS.match(self._text, self._read)
            self._read = blanks.end() if blanks else self._read
        elif group.kind == "use":
            default = inner if group.has_default else None
            self._parts.append(Use(group.variable, default, group.position))
        else:
            group.options.append(inner)
            group.weights.append(group.weight)
            self._parts.append(self._chosen(group))

    def _chosen(self, group: _Group) -> Choice:
        if self._is_wrapper(group):
            texts = (part for option in group.options for part in option if isinstance(part, str))
            if any("$$" in text for text in texts):
                _unsupported("a wrapper (%{…$$…})", group.position - 1)
        return group.choice()

    def _is_wrapper(self, group: _Group) -> bool:
        return group.position > 0 and self._text[group.position - 1] == "%"


def _unsupported(what: str, position: int) -> NoReturn:
    raise WildcardError(f"{what} is not supported; write it out", position)
