"""What a generation needs of its ComfyUI, and what a ComfyUI offers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Self, TypeGuard

from core.wording import listed
from core.workflows.plan import Plan

SHOWN: Final = 3
"""How many names a sentence tells."""
_Files = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Needs:
    """The model files, by ComfyUI's folders, and the node classes that a generation needs.

    Generations with the same model and the same extras have the same ones, and one ``digest``.
    """

    models: _Files = field(default_factory=lambda: MappingProxyType({}))
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> Self | None:
        """Returns a plan's; None where nothing is known to be needed."""
        models = {folder: tuple(sorted(names)) for folder, names in plan.models.items() if names}
        if not models and not plan.classes:
            return None
        return cls(models, tuple(sorted(plan.classes)))

    @cached_property
    def digest(self) -> str:
        """Returns 32 characters that only the same needs have."""
        said = json.dumps([sorted(self.models.items()), self.classes], separators=(",", ":"))
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Returns a plain object, for a database."""
        return {"models": {k: list(v) for k, v in self.models.items()}, "classes": [*self.classes]}

    @classmethod
    def from_json(cls, data: object) -> Self | None:
        """The reverse of ``to_json``. None for what another version wrote in another form."""
        models, classes = (_mapping(data).get(name) for name in ("models", "classes"))
        files = _names_by_folder(models)
        if files is None or not _are_names(classes):
            return None
        return cls(files, tuple(classes))


@dataclass(frozen=True)
class Offer:
    """What a ComfyUI has, as it was when it was last read.

    ``files`` are those of its model folders, as far as they are listed. ``choices`` are the model
    files that its node classes take, from whatever folder, and names that they take for one.
    """

    files: Mapping[str, frozenset[str]]
    classes: frozenset[str]
    choices: frozenset[str]

    @classmethod
    def from_json(cls, files: object, nodes: object) -> Self | None:
        """Returns the stored offer; None for what another version wrote in another form."""
        classes, choices = (_mapping(nodes).get(name) for name in ("classes", "choices"))
        there = _names_by_folder(files)
        if there is None or not _are_names(classes) or not _are_names(choices):
            return None
        return cls.of(there, classes, choices)

    @classmethod
    def of(
        cls, files: Mapping[str, Iterable[str]], classes: Iterable[str], choices: Iterable[str]
    ) -> Self:
        """Returns an offer of these names."""
        listed = {folder: frozenset(map(_slashed, names)) for folder, names in files.items()}
        return cls(listed, frozenset(classes), frozenset(map(_slashed, choices)))

    def lacks(self, needs: Needs) -> tuple[str, ...]:
        """Returns the model files and node classes that are needed and not there, files first."""
        files = (
            name
            for folder, names in needs.models.items()
            for name in names
            if not self._has(folder, _slashed(name))
        )
        classes = (one for one in needs.classes if one not in self.classes)
        return tuple(dict.fromkeys((*files, *classes)))

    def _has(self, folder: str, name: str) -> bool:
        return name in self.choices or name in self.files.get(folder, ())


def without(needs: Needs, offers: Iterable[Offer]) -> str:
    """Returns why none of these ComfyUIs can do it: what none has, or else what not one has all."""
    lacked = [offer.lacks(needs) for offer in offers]
    everything = sorted({name for names in lacked for name in names})
    nowhere = [name for name in everything if all(name in names for names in lacked)]
    what = listed(nowhere or everything, SHOWN)
    return f"no worker has {what}" if nowhere else f"no worker has all of {what}"


def _are_names(value: object) -> TypeGuard[list[str]]:
    """Returns whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _names_by_folder(value: object) -> dict[str, tuple[str, ...]] | None:
    """Returns lists of names by folder; None unless it is that."""
    if not isinstance(value, dict):
        return None
    lists = {folder: names for folder, names in value.items() if _are_names(names)}
    if len(lists) < len(value) or not all(isinstance(folder, str) for folder in lists):
        return None
    return {folder: tuple(names) for folder, names in lists.items()}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _slashed(name: str) -> str:
    """Returns a file's name as every system has it: ComfyUI on Windows writes some otherwise."""
    return name.replace("\\", "/")
