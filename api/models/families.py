"""What forms go by of the families of models: what suits each, and what each can do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from comfy.families import models as _models
from comfy.families import names as _names
from comfy.families.family import Family
from comfy.families.models import Reason
from comfy.families.table import FAMILIES, base_of

__all__ = [
    "CONTROL_FOLDERS",
    "DRAWING_FOLDERS",
    "LORA_FOLDER",
    "Family",
    "Reason",
    "base_of",
    "family_named",
    "place_of",
]

DRAWING_FOLDERS: Final = _models.DIFFUSION_FOLDERS
"""The folders of the models that draw."""
LORA_FOLDER: Final = _names.LORA_FOLDER
CONTROL_FOLDERS: Final = _names.CONTROL_FOLDERS
_PLACES: Final[Mapping[str, int]] = MappingProxyType(
    {name: place for place, name in enumerate(FAMILIES)}
)


def family_named(name: str | None) -> Family | None:
    """Returns a family by its name, None for what is none, or makes no pictures."""
    return FAMILIES.get(name or "")


def place_of(name: str | None) -> int:
    """Returns where a family stands among all: related ones beside each other, unknown last."""
    return _PLACES.get(name or "", len(_PLACES))
