"""Families of checkpoints and the values that suit each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Family:
    """A kind of model and its defaults. ``width`` and ``height``: its training size in pixels."""

    name: str
    width: int
    height: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str


SD15: Final = Family("SD1.5", 512, 512, 20, 7.0, "euler", "normal")
SDXL: Final = Family("SDXL", 1024, 1024, 25, 6.5, "dpmpp_2m", "karras")

_SDXL_NAME: Final = re.compile(r"xl|pony|illustrious|noobai|animagine", re.IGNORECASE)


def family_of(checkpoint: str) -> Family:
    """Returns the family of a checkpoint, guessed from its file name.

    A heuristic: ComfyUI cannot tell what a checkpoint is without loading it. Names with
    "xl" or of a well-known SDXL line are SDXL, all others SD1.5, whose smaller size costs
    least when the guess is wrong.
    """
    return SDXL if _SDXL_NAME.search(checkpoint) else SD15
