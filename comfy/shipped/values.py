"""A workflow that Easel ships: which template it is made of, and how its inputs differ from those
that the import proposes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypedDict, Unpack

from pydantic import JsonValue

from core.artefacts import ArtefactKind
from core.workflows.declaration import InputType, Role


class Changes(TypedDict, total=False):
    """What is said otherwise than the import proposes; see ``Input``."""

    type: InputType
    label: str
    help: str
    role: Role
    group: str
    advanced: bool
    required: bool
    default: JsonValue
    minimum: float
    maximum: float
    multiple_of: float
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """One input, in the order of the form.

    ``of`` is its name in the import's proposal, or the address of a field: ``"94.bpm"``. Addresses
    are for fields that the proposal leaves out, and where only the order tells two inputs apart.
    Types, ranges, choices and targets are the proposal's, unless ``changes`` says otherwise.
    """

    of: str
    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_address(self) -> bool:
        """Whether it names a field of the graph."""
        return "." in self.of


def shown(of: str, name: str = "", **changes: Unpack[Changes]) -> Shown:
    """Returns an input; without a name it has the proposal's."""
    return Shown(of, name or of, MappingProxyType(dict(changes)))


@dataclass(frozen=True)
class Shipped:
    """A declaration for an official template of ComfyUI; the template itself is never shipped.

    ``kind`` is that of the primary output. ``templates`` are the names in ComfyUI's package, the
    first that exists counts. ``inputs`` are all but the model files, which always follow them.
    ``outputs`` are other names for proposed outputs. Nodes in ``switched_on`` are muted or bypassed
    in the template, and wanted; those in ``switched_off`` are not wanted.
    """

    name: str
    title: str
    description: str
    kind: ArtefactKind
    templates: tuple[str, ...]
    inputs: tuple[Shown, ...]
    outputs: Mapping[str, str] = field(default_factory=dict)
    switched_on: tuple[str, ...] = ()
    switched_off: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """As an import names it: ``shipped:wan22-t2v``."""
        return f"shipped:{self.name}"
