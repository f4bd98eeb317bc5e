"""What is known of the model files of a ComfyUI: family, how that is known, what else is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypeGuard, get_args

Reason = Literal["setting", "header", "metadata", "name", "unknown"]
"""How a family is known, the surest first: the owner's word, the file's tensors, what its maker
wrote into it, its name."""
Trait = Literal[
    "inpaint", "v_prediction", "zero_terminal_snr", "union", "few_steps", "refiner",
    "without_encoder", "without_vae",
]  # fmt: skip
"""What a file is besides its family; the last two: a checkpoint that has only a model inside."""
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
        found = asdict(self)
        return {
            **found,
            "traits": sorted(self.traits),
            "trigger_words": list(self.trigger_words),
            "text_encoders": None if self.text_encoders is None else list(self.text_encoders),
        }

    @classmethod
    def from_json(cls, data: object) -> Self | None:
        """The reverse of ``to_json``; None for what cannot be read.

        What a newer or older Easel wrote is read as far as it is understood.
        """
        if not isinstance(data, Mapping):
            return None
        folder, name = data.get("folder"), data.get("name")
        if not isinstance(folder, str) or not isinstance(name, str):
            return None
        encoders = data.get("text_encoders")
        return cls(
            folder=folder,
            name=name,
            family=_text(data.get("family")),
            reason=_reason(data.get("reason")),
            detail=_text(data.get("detail")) or "",
            traits=frozenset(one for one in _texts(data.get("traits")) if _is_trait(one)),
            trigger_words=_texts(data.get("trigger_words")),
            text_encoders=_texts(encoders) if isinstance(encoders, list | tuple) else None,
            vae=_text(data.get("vae")),
        )


@dataclass(frozen=True)
class Setting:
    """What the owner says of a file; it counts before all that the file says itself.

    ``family``: a row's name, or a base. ``text_encoders`` and ``vae``: the files to load beside it.
    """

    family: str | None = None
    text_encoders: tuple[str, ...] | None = None
    vae: str | None = None


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

    def find(self, name: str, folders: Iterable[str] = DIFFUSION_FOLDERS) -> ModelFile | None:
        """Returns the file of that name in the first of the folders that has it."""
        found = (self.files.get((folder, name)) for folder in folders)
        return next((one for one in found if one is not None), None)

    def in_folder(self, folder: str) -> tuple[ModelFile, ...]:
        """Returns the files of a folder, by name."""
        found = (one for one in self.files.values() if one.folder == folder)
        return tuple(sorted(found, key=lambda one: one.name))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(one for one in value if isinstance(one, str))


def _reason(value: object) -> Reason:
    reasons: tuple[Reason, ...] = get_args(Reason)
    return next((one for one in reasons if one == value), "unknown")


def _is_trait(value: str) -> TypeGuard[Trait]:
    return value in get_args(Trait)
