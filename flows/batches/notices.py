"""What generations of a batch get in another way than they asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from core.notices import Notice

NOTICES_MAX: Final = 100
"""Most notices that are kept of a batch: one that is about many rows is one."""


@dataclass(frozen=True)
class RowNotice:
    """A notice, the first row that it is about, and of how many generations."""

    notice: Notice
    row: int
    count: int = 1


@dataclass(eq=False)
class RowNotices:
    """Collects them: the same one of several rows is counted."""

    _known: dict[Notice, RowNotice] = field(default_factory=dict)

    def add(self, row: int, notices: Iterable[Notice]) -> None:
        """Note those of one generation, once each."""
        for one in dict.fromkeys(notices):
            known = self._known.get(one)
            if known is not None:
                self._known[one] = replace(known, count=known.count + 1)
            elif len(self._known) < NOTICES_MAX:
                self._known[one] = RowNotice(one, row)

    @property
    def all(self) -> tuple[RowNotice, ...]:
        """All of them, in the order of the rows that had them first."""
        return tuple(self._known.values())
