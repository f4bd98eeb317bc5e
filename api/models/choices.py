"""What the owner can say of the files of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from comfy.families.models import DIFFUSION_FOLDERS
from comfy.families.names import CONTROL_FOLDERS, LORA_FOLDER
from comfy.families.table import BASES, FAMILIES, title_of

BASE_FOLDERS: Final = (LORA_FOLDER, *CONTROL_FOLDERS)
"""The folders of what fits all families of one base."""
FAMILY_FOLDERS: Final = (*DIFFUSION_FOLDERS, *BASE_FOLDERS)
"""The folders whose files are of families."""


def families_for(folder: str) -> Mapping[str, str]:
    """Returns the families, or the bases, that a file of the folder can be of, with their titles.

    Related ones are beside each other. Empty for folders whose files are of none.
    """
    if folder in DIFFUSION_FOLDERS:
        return {name: family.title for name, family in FAMILIES.items()}
    if folder in BASE_FOLDERS:
        bases = dict.fromkeys(family.base for family in FAMILIES.values())
        return {base: title_of(base) or base for base in bases if base in BASES}
    return {}
