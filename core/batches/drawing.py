"""Drawing one of the texts that a template stands for."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

from core.batches.lists import Lists
from core.batches.wildcards import Assignment, Choice, NamedList, Part, Template, Use, parse


@dataclass(frozen=True)
class _Value:
    """A variable's template, and the variables that were set where it was written."""

    parts: tuple[Part, ...]
    variables: _Variables


@dataclass(frozen=True)
class _Keep:
    """The end of a value that is drawn at once: what was drawn becomes the variable's."""

    variable: str


_Variables: TypeAlias = dict[str, _Value]
_Step: TypeAlias = tuple[Part | _Keep, _Variables]


def draw(template: Template, chance: random.Random, lists: Lists) -> str:
    """Returns one of the texts; an equal ``chance`` draws the same one on every Python version.

    Raises WildcardError: a list is missing, empty or has a line that cannot be parsed (even if the
    draw would not have used it), or lists lead to lists without an end.
    """
    if all(isinstance(part, str) for part in template.parts):  # most prompts: plain texts
        return "".join(map(str, template.parts))
    lists.check(template)
    return _Drawing(chance, lists).text(template)


class _Drawing:
    """Expands left to right, depth first, with a stack of what is still to come."""

    def __init__(self, chance: random.Random, lists: Lists) -> None:
        self._chance = chance
        self._lists = lists
        self._ahead: list[_Step] = []
        self._texts: list[list[str]] = [[]]

    def text(self, template: Template) -> str:
        self._push(template.parts, {})
        while self._ahead:
            self._take(*self._ahead.pop())
        return "".join(self._texts[0])

    def _push(self, parts: Sequence[Part], variables: _Variables) -> None:
        self._ahead += [(part, variables) for part in reversed(parts)]

    def _take(self, part: Part | _Keep, variables: _Variables) -> None:
        match part:
            case str():
                self._texts[-1].append(part)
            case NamedList():
                self._push(self._line(part), {})
            case Choice():
                self._push_choice(part, variables)
            case Assignment(now=False):
                variables[part.variable] = _Value(part.value, dict(variables))
            case Assignment():
                self._texts.append([])
                self._ahead.append((_Keep(part.variable), variables))
                self._push(part.value, dict(variables))
            case _Keep():
                variables[part.variable] = _Value(("".join(self._texts.pop()),), {})
            case Use():
                self._push_value(part, variables)

    def _push_value(self, part: Use, variables: _Variables) -> None:
        value = variables.get(part.variable) or _Value(part.default or (), variables)
        self._push(value.parts, dict(value.variables))

    def _push_choice(self, part: Choice, variables: _Variables) -> None:
        if (part.low, part.high) == (1, 1):
            place = _place(part.cumulative, self._chance)
            self._push(part.options[place], dict(variables))
            return
        named = part.of_list
        if named is not None:
            words = self._lists.get(named.name)
            places = self._places(part, len(words.lines), words.cumulative)
            self._push_joined([parse(words.lines[each]).parts for each in places], part, {})
        else:
            places = self._places(part, len(part.options), part.cumulative)
            self._push_joined([part.options[each] for each in places], part, variables)

    def _push_joined(
        self, options: Sequence[Sequence[Part]], part: Choice, variables: _Variables
    ) -> None:
        for place in reversed(range(len(options))):
            self._push(options[place], dict(variables))
            if place:
                self._ahead.append((part.separator, variables))

    def _places(
        self, part: Choice, there: int, cumulative: Sequence[float] | None
    ) -> Iterator[int]:
        """Yields the options that are drawn, each at most once; alike without ``cumulative``."""
        high = there if part.high is None else min(part.high, there)
        low = min(part.low, high)
        many = low if low == high else low + int(self._chance.random() * (high - low + 1))
        left = list(range(there))
        weights = None if cumulative is None else [b - a for a, b in pairwise((0, *cumulative))]
        for _ in range(many):
            if weights is None:
                place = _any(len(left), self._chance)
            else:
                place = _place(tuple(accumulate(weights)), self._chance)
                weights.pop(place)
            yield left.pop(place)

    def _line(self, part: NamedList) -> tuple[Part, ...]:
        words = self._lists.get(part.name)
        if words.cumulative is None:
            return parse(words.lines[_any(len(words.lines), self._chance)]).parts
        return parse(words.lines[_place(words.cumulative, self._chance)]).parts


def _any(there: int, chance: random.Random) -> int:
    # Only random() is guaranteed to give the same numbers on every Python version.
    return min(int(chance.random() * there), there - 1)


def _place(cumulative: Sequence[float], chance: random.Random) -> int:
    place = bisect_right(cumulative, chance.random() * cumulative[-1])
    return min(place, len(cumulative) - 1)
