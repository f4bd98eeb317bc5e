"""The wildcard lists: one text file each, read and checked as a whole when it is first named.

Whether a list can be drawn from does not depend on what is drawn: one wrong line is found with
every seed, and a file that no prompt names disturbs none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import accumulate
from pathlib import Path
from typing import Final

from core.batches.wildcards import (
    NAME_MAX,
    Assignment,
    Choice,
    NamedList,
    Part,
    Template,
    Use,
    WildcardError,
    list_name,
    parse_uncached,
    split_weight,
)
from core.fields import PROMPT_MAX
from core.wording import nearest, written

LISTS_DEEP_MAX: Final = 10
"""How deep lists may refer to lists."""
DRAWS_MAX: Final = 1_000
"""The most lines and variables in one expansion: lists of lists grow exponentially."""
PARTS_MAX: Final = 20
"""So many parts of a line (texts, braces, …) count as another line."""
PICKS_MAX: Final = 100
"""The most options of one choice that are drawn together."""
SUGGESTED_MAX: Final = 100
"""For so many missing lists near matches are looked up, which takes time where lists are many."""
_OTHER_FORMATS: Final = frozenset({".json", ".yaml", ".yml"})
_Lines = Iterable[tuple[int, str]]


class ListError(WildcardError):
    """A list cannot be drawn from; the message names it, and perhaps the line."""

    def __init__(self, reason: str, position: int = 0) -> None:
        super().__init__(reason, position)
        self.args = (reason,)

    def __str__(self) -> str:
        return self.reason

    def at(self, position: int) -> ListError:
        """Returns the same error, at the place of the template that names the list."""
        return type(self)(self.reason, position)


class MissingListError(ListError):
    """There is no list of this name."""


@dataclass(frozen=True)
class WordList:
    """A list that was read. ``cumulative`` are its weights, None if all lines are alike.

    ``extent`` is the most lines and variables that one draw of it can take, ``depth`` how many
    lists are below it.
    """

    lines: tuple[str, ...]
    cumulative: tuple[float, ...] | None
    extent: int
    depth: int


class Lists:
    """Lists by name. The state is what was read: a list stays the same for a whole batch."""

    def __init__(
        self, sources: Mapping[str, Callable[[], _Lines]], unusable: Mapping[str, str]
    ) -> None:
        self._sources = sources
        self.unusable = unusable
        self._read: dict[str, WordList] = {}
        self._bad: dict[str, ListError] = {}
        self._under_way: list[str] = []

    @classmethod
    def of(cls, lines: Mapping[str, Sequence[str]]) -> Lists:
        """Returns lists whose lines are known."""

        def numbered(those: Sequence[str]) -> Callable[[], _Lines]:
            return lambda: enumerate(those, 1)

        return cls({list_name(name): numbered(those) for name, those in lines.items()}, {})

    @property
    def names(self) -> list[str]:
        """Returns the lists that there are, whether their lines are good or not."""
        return sorted(self._sources)

    def get(self, name: str) -> WordList:
        """Returns the list. Raises ListError: it is missing, empty, or has a line that is wrong."""
        known = self._read.get(name)
        if known is not None:
            return known
        if name in self._bad:
            raise self._bad[name]
        try:
            self._read[name] = self._checked(name)
        except ListError as error:
            # How deep a list is depends on where the way to it began: only that one is known bad.
            if not self._under_way:
                self._bad[name] = error
            raise
        return self._read[name]

    def check(self, template: Template) -> None:
        """Raises WildcardError if any draw of the template could fail."""
        extent = Extent(self).of(template.parts, {})
        if extent > DRAWS_MAX:
            raise WildcardError(f"lists and variables would give more than {DRAWS_MAX} lines", 0)

    def _checked(self, name: str) -> WordList:
        source = self._sources.get(name)
        if source is None:
            raise MissingListError(self._missing(name))
        if name in self._under_way:
            raise ListError(f"the list {written(name)} leads to itself")
        if len(self._under_way) >= LISTS_DEEP_MAX:
            raise ListError(_too_deep(self._under_way[0]))
        self._under_way.append(name)
        try:
            found = self._checked_lines(name, source())
        finally:
            self._under_way.pop()
        if found.depth >= LISTS_DEEP_MAX:
            raise ListError(_too_deep(name))
        return found

    def _checked_lines(self, name: str, source: _Lines) -> WordList:
        lines: list[str] = []
        weights: list[float] = []
        extent = depth = 0
        for number, line in source:
            try:
                weight, text = split_weight(line)
                template = _line_template(text)
                extent = max(extent, Extent(self).of_line(template.parts, {}))
                depth = max([depth, *(1 + self.get(each).depth for each in template.names)])
            except WildcardError as error:
                if isinstance(error, ListError) and not isinstance(error, MissingListError):
                    raise  # it names the list at fault, which is another one
                message = f"the list {written(name)}, line {number}: {error}"
                raise ListError(message) from error
            lines.append(text)
            weights.append(weight)
        if not lines:
            raise ListError(f"there is nothing in the list {written(name)}")
        if extent > DRAWS_MAX:
            raise ListError(f"the list {written(name)} would give more than {DRAWS_MAX} lines")
        alike = all(weight == 1.0 for weight in weights)
        cumulative = None if alike else tuple(accumulate(weights))
        return WordList(tuple(lines), cumulative, extent, depth)

    def _missing(self, name: str) -> str:
        """Returns why there is no list of this name, and what to do."""
        if name in self.unusable:
            return self.unusable[name]
        if any(character in name for character in "*?["):
            return f"a pattern in a list's name is not supported: {written(name)}; name one list"
        if name.endswith(")") and "(" in name:
            return f"a list with parameters is not supported: {written(name)}"
        if any(part in ("", ".", "..") for part in name.split("/")):
            return (
                f"{written(name)} cannot be a list: name a file of the wildcards folder, "
                "with its folder if it has one, such as styles/dark"
            )
        said = f"there is no list {written(name)}"
        if len(self._bad) < SUGGESTED_MAX:
            said += f"; {nearest(name, self.names, what='lists')}"
        return f"{said}; for the underscores write \\_\\_"


@dataclass(frozen=True)
class Extent:
    """Counts the most lines and variables that a draw can take. Raises WildcardError."""

    lists: Lists

    def of(self, parts: Iterable[Part], variables: Mapping[str, int]) -> int:
        """Returns the extent; ``variables`` are those that are set, with theirs."""
        known = dict(variables)
        total = 0
        for part in parts:
            match part:
                case str():
                    continue
                case NamedList():
                    total += self._list(part).extent
                case Choice():
                    total += self._choice(part, known)
                case Assignment():
                    cost = self.of_line(part.value, known)
                    total += cost if part.now else 0
                    known[part.variable] = 0 if part.now else cost
                case Use():
                    total += self._use(part, known)
            total = min(total, DRAWS_MAX + 1)
        return total

    def of_line(self, parts: tuple[Part, ...], variables: Mapping[str, int]) -> int:
        """Returns the extent of a line or a variable's value: a long one counts as several."""
        return 1 + self.of(parts, variables) + _size(parts) // PARTS_MAX

    def _list(self, part: NamedList) -> WordList:
        try:
            return self.lists.get(part.name)
        except ListError as error:
            raise error.at(part.position) from error

    def _choice(self, part: Choice, known: Mapping[str, int]) -> int:
        named = part.of_list
        if named is not None and (part.low, part.high) != (1, 1):
            words = self._list(named)
            return words.extent * _picks(part, len(words.lines), named.position)
        costs = [self.of(option, known) for option in part.options]
        return sum(nlargest(_picks(part, len(costs), part.position), costs))

    def _use(self, part: Use, known: Mapping[str, int]) -> int:
        if part.variable in known:
            return known[part.variable]
        if part.default is None:
            name = written(part.variable)
            raise WildcardError(
                f"there is no variable {name} here; set it before, as in ${{{name}=red}}",
                part.position,
            )
        return self.of(part.default, known)


def read_lists(folder: Path) -> Lists:
    """Returns the lists in a folder: ``sub/animal.txt`` is ``sub/animal``.

    In a file, empty lines and lines that begin with ``#`` are skipped, as are hidden files.
    Without the folder there are no lists.
    """
    sources: dict[str, Callable[[], _Lines]] = {}
    unusable: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not _is_file(path):
            continue
        name = list_name(inside.with_suffix("").as_posix())
        problem = _unusable(inside, name, twice=name in sources)
        if problem is not None:
            unusable[name] = problem
            sources.pop(name, None)
        elif path.suffix.lower() == ".txt" and name not in unusable:
            sources[name] = _File(path, written(inside.as_posix())).lines
    return Lists(sources, {name: why for name, why in unusable.items() if name not in sources})


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # in a folder that may be listed only
        return False


def _unusable(inside: Path, name: str, *, twice: bool) -> str | None:
    """Returns why a file cannot be a list; None where it can, or is not meant to be one."""
    shown, suffix = written(inside.as_posix()), inside.suffix.lower()
    if suffix in _OTHER_FORMATS:
        return None if twice else f"{shown} is not read: a list is a .txt file, one entry a line"
    if suffix != ".txt":
        return None
    if twice:
        return f"two files are called {shown}, written with different accents or endings"
    if len(name) > NAME_MAX or "__" in name or any(character in name for character in "{}|\\\r\n"):
        return f"{shown} cannot be named: rename it without {{ }} | \\ and double underscores"
    if name != name.strip() or name.strip("_") != name or name[0] in "~@!":
        return f"{shown} cannot be named: its name begins or ends with a blank, _ or one of ~ @ !"
    return None


@dataclass(frozen=True)
class _File:
    path: Path
    shown: str

    def lines(self) -> Iterator[tuple[int, str]]:
        try:
            text = self.path.read_text(encoding="utf-8-sig")  # Notepad writes a byte order mark
        except UnicodeDecodeError as error:
            message = f"the list {self.shown} is not UTF-8; save the file as UTF-8"
            raise ListError(message) from error
        except OSError as error:
            message = f"the list {self.shown} cannot be read; fix or remove the file"
            raise ListError(message) from error
        for number, line in enumerate(text.split("\n"), 1):
            entry = line.strip().strip("\x1a").strip()  # DOS ends a file with Ctrl-Z
            if entry and not entry.startswith("#"):
                yield number, entry


def _line_template(text: str) -> Template:
    if "\x00" in text:
        raise WildcardError("a NUL character", text.index("\x00"))
    if len(text) > PROMPT_MAX:
        raise WildcardError(f"a line may have {PROMPT_MAX} characters at most", PROMPT_MAX)
    return parse_uncached(text)


def _size(parts: tuple[Part, ...]) -> int:
    """Returns the number of parts, those inside of others too."""
    size = len(parts)
    for part in parts:
        if isinstance(part, Choice):
            size += sum(map(_size, part.options))
        elif isinstance(part, Assignment):
            size += _size(part.value)
        elif isinstance(part, Use):
            size += _size(part.default or ())
    return size


def _picks(part: Choice, there: int, position: int) -> int:
    """Returns how many options are drawn at most. Raises WildcardError for too many."""
    most = there if part.high is None else min(there, part.high)
    if most > PICKS_MAX:
        raise WildcardError(f"at most {PICKS_MAX} can be drawn at once", position)
    return most


def _too_deep(name: str) -> str:
    return f"the list {written(name)} leads to lists deeper than {LISTS_DEEP_MAX}"
