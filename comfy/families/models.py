"""What is known of the model files of a ComfyUI: family, how that is known, what else is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, Self

Reason = Literal["setting", "header", "metadata", "name", "unknown"]
"""How a family is known, the surest first: the owner's word, the file's tensors, what its maker
wrote into it, its name."""
Trait = Literal["inpaint", "v_prediction", "zero_terminal_snr", "union", "few_steps", "refiner"]
"""What a file is besides its family."""
DIFFUSION_FOLDERS: Final = ("checkpoints", "diffusion_models")
"""The folders of what ``model`` takes, in the order in which a name is looked up."""


@dataclass(frozen=True)
class ModelFile:
    """One file of a model folder.

    ``family`` is a row's name for what makes pictures, and a ``base`` for LoRAs and ControlNets;
    None while it is unknown. ``detail`` says for people how it is known ("double_blocks.0… in the
    header"). ``text_encoders`` and ``vae`` are what the owner set.
    """

    folder: str
    name: str
    family: str | None = None
    reason: Reason = "unknown"
    detail: str = ""
    traits: frozenset[Trait] = frozenset()
    trigger_words: tuple[str, ...] = ()
    text_encoders: tuple[str, ...] | None = None
    vae: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns a plain object, for a database column."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, data: object) -> Self | None:
        """The reverse of ``to_json``; None for what cannot be read."""
        raise NotImplementedError


@dataclass(frozen=True)
class Models:
    """All that is known, by folder and name; frozen, and safe to share."""

    files: Mapping[tuple[str, str], ModelFile] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, files: Iterable[ModelFile]) -> Self:
        """Returns a collection; of two with one name the first counts."""
        found: dict[tuple[str, str], ModelFile] = {}
        for one in files:
            found.setdefault((one.folder, one.name), one)
        return cls(MappingProxyType(found))
