"""What might become an input: places of the graph and what is known of them so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from comfy.importing.marks import Place
from comfy.nodes import InputSpec
from core.workflows.declaration import InputType, Role

WHOLE: Final[frozenset[Role]] = frozenset(
    {"seed", "width", "height", "fps", "duration_s", "length", "batch_size"}
)
"""Roles of which a workflow has one value: an author who shows one of the places means all."""


@dataclass(frozen=True)
class Candidate:
    """An input before it has its name and type.

    ``name`` is a wish; ``is_named`` says that the author chose it, so that it comes before the
    role's own. ``type`` is None where the fields decide. ``specs`` are those of the fields that
    the value arrives at, which bound it beside those of its targets. ``default`` counts where
    ``has_default``; else the graph's value does.
    """

    targets: tuple[Place, ...]
    role: Role | None = None
    name: str = ""
    label: str = ""
    help: str = ""
    group: str = ""
    type: InputType | None = None
    is_named: bool = False
    advanced: bool = False
    specs: tuple[InputSpec, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str | int | float | bool, ...] = ()
    default: Any = None
    has_default: bool = False

    def without(self, taken: Iterable[Place]) -> Candidate:
        """The same for the places that are not taken."""
        gone = frozenset(taken)
        return replace(self, targets=tuple(one for one in self.targets if one not in gone))

    def completed(self, guess: Candidate) -> Candidate:
        """What the author marked, with what the graph says of the same places."""
        more = guess.targets if guess.role in WHOLE else ()
        return replace(
            self,
            targets=tuple(dict.fromkeys((*self.targets, *more))),
            role=self.role or guess.role,
            name=self.name or guess.name,
            label=self.label or guess.label,
            type=self.type or guess.type,
            specs=(*self.specs, *guess.specs),
            choices=self.choices or guess.choices,
        )
